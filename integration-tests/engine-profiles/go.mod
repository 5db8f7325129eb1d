module planc.test/engine-profiles

go 1.26

require (
	github.com/containerd/containerd/v2 v2.4.2
	github.com/moby/profiles/seccomp v0.2.3
	github.com/opencontainers/runtime-spec v1.3.0
)
