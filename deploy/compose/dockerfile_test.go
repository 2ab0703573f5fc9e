package compose_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"

	"github.com/quokka-stream/quokka/deploy/compose"
)

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(compose.Root(), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestDockerfile: the image is built from every module of the workspace, with a
// toolchain that is new enough, on a base that is pinned.
func TestDockerfile(t *testing.T) {
	work, err := modfile.ParseWork("go.work", []byte(read(t, "go.work")), nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := "\n" + read(t, "deploy/Dockerfile.dockerignore")
	for _, use := range work.Use {
		if folder := strings.TrimPrefix(use.Path, "./"); !strings.Contains(sent, "\n!"+folder+"\n") {
			t.Errorf("deploy/Dockerfile.dockerignore leaves out the module %s", folder)
		}
	}
	dockerfile := read(t, "deploy/Dockerfile")
	version := regexp.MustCompile(`ARG GO_VERSION=(\d+\.\d+)\.\d+\n`).FindStringSubmatch(dockerfile)
	if version == nil || !strings.HasPrefix(work.Go.Version, version[1]) {
		t.Errorf("the image is built with Go %v, go.work wants %s", version, work.Go.Version)
	}
	for _, part := range []string{
		"--mount=type=cache,target=/go/pkg/mod", "--mount=type=cache,target=/root/.cache/go-build",
		"CGO_ENABLED=0", "-trimpath", "USER 65532:65532", "/static-debian13:nonroot@sha256:",
	} {
		if !strings.Contains(dockerfile, part) {
			t.Errorf("deploy/Dockerfile lacks %s", part)
		}
	}
	project := load(t, []string{compose.MainFile})
	for name, s := range project.Services {
		if s.Build == nil {
			continue
		}
		if at := filepath.Join(s.Build.Context, s.Build.Dockerfile); at != filepath.Join(compose.Root(), "deploy", "Dockerfile") {
			t.Errorf("%s is built by %s", name, at)
		}
	}
}
