// Writes the seccomp profiles that Docker, Podman and containerd give a container by default, as its config.json has them:
// engine-profiles FOLDER PODMANS, of which the latter is the file that Podman reads its own from.
package main

import (
	"encoding/json"
	"log"
	"os"
	"path/filepath"

	containerd "github.com/containerd/containerd/v2/contrib/seccomp"
	docker "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// What the profiles depend on: the capabilities of Docker's default container.
func container() *specs.Spec {
	held := []string{
		"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
		"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
	}
	return &specs.Spec{
		Process: &specs.Process{
			Capabilities: &specs.LinuxCapabilities{Bounding: held, Effective: held, Permitted: held},
		},
		Linux: &specs.Linux{},
	}
}

func write(engine string, profile *specs.LinuxSeccomp) {
	text, err := json.Marshal(profile)
	check(err)
	check(os.WriteFile(filepath.Join(os.Args[1], engine+".json"), text, 0o644))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	profile, err := docker.GetDefaultProfile(container())
	check(err)
	write("docker", profile)

	// The format of Podman's file is Docker's.
	text, err := os.ReadFile(os.Args[2])
	check(err)
	profile, err = docker.LoadProfile(string(text), container())
	check(err)
	write("podman", profile)

	write("containerd", containerd.DefaultProfile(container()))
}
