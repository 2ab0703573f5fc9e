package compose_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/quokka-stream/quokka/deploy/compose"
)

func load(t *testing.T, files []string, profiles ...string) *types.Project {
	t.Helper()
	project, err := compose.Load(t.Context(), files, profiles)
	if err != nil {
		t.Fatalf("%s with profiles %v: %v", strings.Join(files, ", "), profiles, err)
	}
	return project
}

// TestEveryStackAndProfile: each combination of files loads, without a profile,
// with each one and with all, and starts nothing that it does not define.
func TestEveryStackAndProfile(t *testing.T) {
	for _, files := range compose.Stacks {
		profiles, err := compose.Profiles(t.Context(), files)
		if err != nil {
			t.Fatal(err)
		}
		sets := [][]string{nil, {"*"}}
		for _, p := range profiles {
			sets = append(sets, []string{p})
		}
		for _, set := range sets {
			t.Run(fmt.Sprint(files, set), func(t *testing.T) {
				project := load(t, files, set...)
				if err := project.CheckContainerNameUnicity(); err != nil {
					t.Error(err)
				}
				for name, s := range project.Services {
					for dep, how := range s.DependsOn {
						if _, ok := project.Services[dep]; !ok && how.Required {
							t.Errorf("%s waits for %s, which these profiles leave out", name, dep)
						}
					}
				}
			})
		}
	}
	if got, want := must(compose.Profiles(t.Context(), []string{compose.MainFile})), []string{"console", "load", "monitoring", "opensearch"}; !slices.Equal(got, want) {
		t.Errorf("the profiles are %v, want %v", got, want)
	}
}

// TestRootFileIncludes: the root file adds nothing of its own.
func TestRootFileIncludes(t *testing.T) {
	root, main := load(t, []string{compose.RootFile}, "*"), load(t, []string{compose.MainFile}, "*")
	if root.Name != main.Name {
		t.Errorf("the project is called %s, included %s", root.Name, main.Name)
	}
	if diff := cmp.Diff(main.Services, root.Services); diff != "" {
		t.Errorf("the services differ (- included, + root):\n%s", diff)
	}
}

// TestShort: the main file can be read at one sitting.
func TestShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(compose.Root(), compose.MainFile))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(text, []byte("\n")); n >= 200 {
		t.Errorf("%s has %d lines, want fewer than 200", compose.MainFile, n)
	}
}

// budget bounds the sum of the memory limits of what starts by default.
const budget = 1 << 30

// TestLimits: every container has a memory limit, the Go programs know theirs,
// and the default stack's sum is within budget.
func TestLimits(t *testing.T) {
	for _, files := range compose.Stacks {
		for name, s := range load(t, files, "*").Services {
			if s.MemLimit == 0 {
				t.Errorf("%s: %s has no mem_limit", files, name)
			}
			if !compose.Own(s) {
				continue
			}
			var soft types.UnitBytes
			if v := s.Environment["GOMEMLIMIT"]; v == nil {
				t.Errorf("%s: %s has no GOMEMLIMIT", files, name)
			} else if err := soft.DecodeMapstructure(strings.TrimSuffix(*v, "iB")); err != nil {
				t.Error(err)
			}
			// The rest is for stacks, buffers of the kernel and the health check.
			if part := float64(soft) / float64(s.MemLimit); part < 0.7 || part > 0.9 {
				t.Errorf("%s: GOMEMLIMIT of %s is %.0f %% of its mem_limit, want 70 to 90", files, name, 100*part)
			}
		}
	}
	var sum types.UnitBytes
	added := read(t, compose.AddedFile)
	for name, s := range load(t, []string{compose.MainFile}).Services {
		if !strings.Contains(added, "\n  "+name+":\n") { // what a user adds is the user's
			sum += s.MemLimit
		}
	}
	t.Logf("memory limits of the default stack: %d MiB", sum>>20)
	if sum > budget {
		t.Errorf("the default stack may use %d MiB, want %d at most", sum>>20, budget>>20)
	}
}

// TestHardening: nothing gets more than it needs.
func TestHardening(t *testing.T) {
	for _, files := range compose.Stacks {
		kafka := slices.Contains(files, compose.KafkaFile)
		for name, s := range load(t, files, "*").Services {
			if !slices.Contains(s.CapDrop, "ALL") || len(s.CapAdd) > 0 || s.Privileged {
				t.Errorf("%s: %s keeps capabilities", files, name)
			}
			if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
				t.Errorf("%s: %s may gain privileges", files, name)
			}
			// Apache Kafka, Karapace and OpenSearch write beside their programs.
			stock := kafka && (strings.HasPrefix(name, "broker") || name == "registry") || name == "opensearch"
			if !s.ReadOnly && !stock {
				t.Errorf("%s: the file system of %s is writable", files, name)
			}
			if compose.Own(s) && s.User != "65532:65532" {
				t.Errorf("%s: %s runs as %q", files, name, s.User)
			}
			for _, p := range s.Ports {
				if !net.ParseIP(p.HostIP).IsLoopback() {
					t.Errorf("%s: other machines can reach port %s of %s", files, p.Published, name)
				}
			}
			for _, v := range s.Volumes {
				if v.Type == types.VolumeTypeBind && !v.ReadOnly {
					t.Errorf("%s: %s may change %s", files, name, v.Source)
				}
				if v.Type == types.VolumeTypeBind {
					if _, err := os.Stat(v.Source); err != nil {
						t.Errorf("%s: %s: %v", files, name, err)
					}
				}
			}
		}
	}
}

// TestImages: other images are pinned to a version, and our own is built once.
func TestImages(t *testing.T) {
	pinned := regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?$`)
	for _, files := range compose.Stacks {
		var builds []string
		for name, s := range load(t, files, "*").Services {
			if s.Build != nil {
				builds = append(builds, name)
			}
			switch {
			case compose.Own(s):
				if s.PullPolicy != types.PullPolicyNever {
					t.Errorf("%s: %s would look for %s in a registry", files, name, s.Image)
				}
			case !pinned.MatchString(s.Image):
				t.Errorf("%s: image %s of %s names no version", files, s.Image, name)
			case s.PullPolicy == types.PullPolicyNever:
				t.Errorf("%s: image %s of %s is never pulled", files, s.Image, name)
			}
		}
		if len(builds) != 1 {
			t.Errorf("%s: %v build the image, want one service", files, builds)
		}
	}
}

// TestOthersWait: whoever is waited for to be healthy has a health check, and a
// quick one at the start.
func TestOthersWait(t *testing.T) {
	for _, files := range compose.Stacks {
		project := load(t, files, "*")
		for name, s := range project.Services {
			if check := s.HealthCheck; check != nil && (check.StartInterval == nil || check.StartPeriod == nil) {
				t.Errorf("%s: the health check of %s has no start_interval and start_period", files, name)
			}
			for dep, how := range s.DependsOn {
				if how.Condition == types.ServiceConditionHealthy && project.Services[dep].HealthCheck == nil {
					t.Errorf("%s: %s waits for %s to be healthy, which has no health check", files, name, dep)
				}
			}
		}
	}
}

// TestKafkaKeepsNames: the override changes what is behind broker and registry,
// not where they are: every other service is as before.
func TestKafkaKeepsNames(t *testing.T) {
	ours, kafka := load(t, []string{compose.MainFile}, "*"), load(t, []string{compose.MainFile, compose.KafkaFile}, "*")
	if ours.Name == kafka.Name {
		t.Error("the two stacks share a project name, so one would find the other's volumes")
	}
	for name, s := range ours.Services {
		if name == "broker" || name == "registry" {
			if compose.Own(kafka.Services[name]) {
				t.Errorf("%s is still our own", name)
			}
			continue
		}
		other := kafka.Services[name]
		if name == "prometheus" { // it scrapes another exporter
			s.Volumes, other.Volumes = nil, nil
		}
		if diff := cmp.Diff(s, other); diff != "" {
			t.Errorf("%s differs:\n%s", name, diff)
		}
	}
	nodes := map[string]string{}
	for name, s := range kafka.Services {
		id := s.Environment["KAFKA_NODE_ID"]
		if id == nil {
			continue
		}
		nodes[*id] = name
		at := regexp.MustCompile(`PLAINTEXT://([a-z0-9-]+):9092`).FindStringSubmatch(*s.Environment["KAFKA_ADVERTISED_LISTENERS"])
		names := append(s.Networks["default"].Aliases, name)
		if at == nil || !slices.Contains(names, at[1]) {
			t.Errorf("%s is advertised as %v, but answers to %v", name, at, names)
		}
		if !slices.Contains(names, "broker") {
			t.Errorf("%s does not answer to the name broker", name)
		}
		if voter := *id + "@" + at[1] + ":29093"; !strings.Contains(*s.Environment["KAFKA_CONTROLLER_QUORUM_VOTERS"], voter) {
			t.Errorf("%s does not vote: no %s", name, voter)
		}
	}
	if len(nodes) != 3 {
		t.Errorf("the nodes are %v, want three", nodes)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
