# A kubelet sets parameters of the kernel, which are the machine's: it finds them as it wants them, and nobody else does.
mount --make-private /proc
mkdir parameters
while read -r name value; do
  echo "$value" > "parameters/${name##*/}"
  mount --bind "parameters/${name##*/}" "/proc/sys/$name"
done <<'WANTED'
vm/overcommit_memory 1
vm/panic_on_oom 0
kernel/panic 10
kernel/panic_on_oops 1
kernel/keys/root_maxkeys 1000000
kernel/keys/root_maxbytes 25000000
WANTED
# It will not start without a speed of the processor, which User Mode Linux does not tell.
if ! grep -q 'cpu MHz' /proc/cpuinfo; then
  sed 's/^processor.*/&\ncpu MHz\t\t: 1000.000/' /proc/cpuinfo > parameters/cpuinfo
  mount --bind parameters/cpuinfo /proc/cpuinfo
fi
exec kubelet --config kubelet.yaml --kubeconfig kubeconfig --hostname-override node --node-ip 10.89.0.1
