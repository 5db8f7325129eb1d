# What is left of pods that are gone: a kubelet takes volumes away some time after the pod.
left() {
  find /sys/fs/cgroup/k8s.io -mindepth 1 -type d
  for folder in planc runc io.containerd.runtime.v2.task; do
    find "/run/containerd/$folder/k8s.io" -mindepth 1 -maxdepth 1
  done
  find /run/netns -name 'cni-*'
  grep -o '/var/lib/kubelet/pods/[^ ]*' /proc/mounts
  pgrep -a containerd-shim
} 2> /dev/null
for _ in $(seq 100); do
  [ -n "$(left || true)" ] || exit 0
  sleep 0.2
done
left || true
