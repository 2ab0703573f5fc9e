// Package compose reads the compose files of this repository as docker compose
// does, so that tests can hold them against the code where no Docker engine
// runs.
package compose

import (
	"context"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// OwnImage is the image of the platform's own parts.
const OwnImage = "quokka:dev"

// The compose files, relative to the root of the repository.
const (
	RootFile  = "compose.yaml"
	MainFile  = "deploy/compose.yaml"
	KafkaFile = "deploy/compose.kafka.yaml"
	// AddedFile has the services that `quokka new service` made; MainFile includes it.
	AddedFile = "deploy/compose.services.yaml"
)

// Stacks are the combinations of files that are meant to be used.
var Stacks = [][]string{{RootFile}, {MainFile}, {MainFile, KafkaFile}}

// Root is the folder of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// Load reads files, later ones over earlier ones, with the services of the given
// profiles; "*" stands for all. The environment is env, nothing else.
func Load(ctx context.Context, files []string, profiles []string, env ...string) (*types.Project, error) {
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = filepath.Join(Root(), f)
	}
	options, err := cli.NewProjectOptions(paths,
		cli.WithWorkingDirectory(filepath.Dir(paths[0])),
		cli.WithProfiles(profiles), cli.WithEnv(env), cli.WithResolvedPaths(true),
	)
	if err != nil {
		return nil, err
	}
	return options.LoadProject(ctx)
}

// Profiles lists the profiles that the files' services name.
func Profiles(ctx context.Context, files []string) ([]string, error) {
	project, err := Load(ctx, files, []string{"*"})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, s := range project.Services {
		out = append(out, s.Profiles...)
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// Own reports whether a service runs a part of the platform.
func Own(s types.ServiceConfig) bool { return s.Image == OwnImage }
