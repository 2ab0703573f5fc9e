package main

import (
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/quokka-stream/quokka/broker/brokercmd"
	"github.com/quokka-stream/quokka/cdc"
	"github.com/quokka-stream/quokka/deploy/compose"
	"github.com/quokka-stream/quokka/deploy/monitoring"
	"github.com/quokka-stream/quokka/deploy/platform"
	"github.com/quokka-stream/quokka/deploy/roster"
	"github.com/quokka-stream/quokka/schemas"
	"github.com/quokka-stream/quokka/services/kit/service"
)

// configurations are those of the commands that take theirs from the
// environment alone.
var configurations = func() map[string]any {
	configs := map[string]any{"cdc": service.Config{}}
	for _, s := range roster.Services() {
		configs[s.Name] = s.Config
	}
	return configs
}()

// foreignPorts are where images of others listen.
var foreignPorts = map[string][]string{
	"postgres": {"5432"}, "jaeger": {"4318", "16686"}, "mailpit": {"1025", "8025"},
	"prometheus": {"9090"}, "grafana": {"3000"}, "console": {"8080"},
	"opensearch": {"9200"},
}

// publishedParts says which part a published port of a service belongs to.
var publishedParts = func() map[string][]platform.Part {
	parts := map[string][]platform.Part{
		"broker": {platform.Broker}, "registry": {platform.Registry}, "postgres": {platform.Postgres},
		"jaeger": {platform.Traces}, "mailpit": {platform.SMTP, platform.Mail},
	}
	for _, s := range roster.Services() {
		parts[s.Name] = []platform.Part{platform.Part(s.Name)}
	}
	return parts
}()

// parse parses a command line as the program does, in the environment env.
func parse(t *testing.T, env types.MappingWithEquals, args []string) (*kong.Context, error) {
	t.Helper()
	for name := range environ() {
		if strings.HasPrefix(name, "QUOKKA_") || strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "") // restores it
			os.Unsetenv(name)
		}
	}
	for name, value := range env {
		t.Setenv(name, *value)
	}
	parser, err := newParser(kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	return parser.Parse(args)
}

// TestComposeCommands: every command and health check in the compose files is
// one of this program's, and every variable is one that the command reads.
func TestComposeCommands(t *testing.T) {
	for _, files := range compose.Stacks {
		for name, s := range everything(t, files).Services {
			if !compose.Own(s) {
				continue
			}
			t.Run(strings.Join(files, "+")+"/"+name, func(t *testing.T) {
				command, err := parse(t, s.Environment, s.Command)
				if err != nil {
					t.Fatalf("quokka %s: %v", strings.Join(s.Command, " "), err)
				}
				reads := map[string]bool{"GOMEMLIMIT": true}
				for _, flag := range command.Flags() {
					for _, v := range flag.Envs {
						reads[v] = true
					}
				}
				if s.Command[0] == "broker" {
					if err := new(brokerCmd).command(io.Discard).Validate(s.Command[1:]); err != nil {
						t.Errorf("quokka %s: %v", strings.Join(s.Command, " "), err)
					}
					reads["QUOKKA_BROKER_TRACE"], reads["OTEL_EXPORTER_OTLP_ENDPOINT"] = true, true
					for _, v := range brokercmd.Variables() {
						reads[v.Name] = true
					}
				}
				if cfg, ok := configurations[s.Command[0]]; ok {
					variables, err := service.Variables(cfg)
					if err != nil {
						t.Fatal(err)
					}
					for _, v := range variables {
						reads[v.Name] = true
					}
				}
				for v := range s.Environment {
					if !reads[v] && !shared(s.Environment, v) {
						t.Errorf("quokka %s does not read %s", s.Command[0], v)
					}
				}
				checkHealth(t, s)
			})
		}
	}
}

// shared reports whether a variable belongs to the block that all parts get.
func shared(env types.MappingWithEquals, name string) bool {
	return env["QUOKKA_POSTGRES_URL"] != nil && slices.Contains([]string{
		"QUOKKA_KAFKA_BROKERS", "QUOKKA_REGISTRY_URL", "QUOKKA_POSTGRES_URL", "OTEL_EXPORTER_OTLP_ENDPOINT",
	}, name)
}

// checkHealth holds a service's health check against where it listens.
func checkHealth(t *testing.T, s types.ServiceConfig) {
	if s.HealthCheck == nil {
		if s.Restart != types.RestartPolicyNo && s.Name != "load" {
			t.Error("it has no health check")
		}
		return
	}
	test := s.HealthCheck.Test
	if len(test) < 3 || test[0] != "CMD" || test[1] != "quokka" {
		t.Fatalf("the health check %v is not by the program itself", test)
	}
	if _, err := parse(t, nil, test[2:]); err != nil {
		t.Fatalf("%v: %v", test[1:], err)
	}
	for _, address := range test[3:] {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if u.Hostname() != "127.0.0.1" || !slices.Contains(listening(s), u.Port()) {
			t.Errorf("the health check asks %s; it listens on %v", address, listening(s))
		}
	}
}

// listening lists the ports on which a service listens, by its flags and
// variables.
func listening(s types.ServiceConfig) []string {
	if ports, ok := foreignPorts[s.Name]; ok {
		return ports
	}
	port := regexp.MustCompile(`^(?:--(?:listen|metrics)=)?:(\d+)$`)
	var out []string
	values := slices.Clone([]string(s.Command))
	for _, v := range s.Environment {
		values = append(values, *v)
	}
	for _, v := range values {
		if m := port.FindStringSubmatch(v); m != nil {
			out = append(out, m[1])
		}
	}
	return out
}

// TestComposePorts: a part is on the same port of 127.0.0.1 as with `quokka up`,
// and every address in the environment is one where somebody listens.
func TestComposePorts(t *testing.T) {
	project := everything(t, []string{compose.MainFile})
	seen := map[string]string{}
	for name, s := range project.Services {
		var want []string
		for _, part := range publishedParts[name] {
			want = append(want, strconv.Itoa(platform.DefaultPorts[part]))
		}
		var got []string
		for _, p := range s.Ports {
			got = append(got, p.Published)
			if other, taken := seen[p.Published]; taken {
				t.Errorf("%s and %s both want port %s", name, other, p.Published)
			}
			seen[p.Published] = name
			if target := strconv.Itoa(int(p.Target)); !slices.Contains(listening(s), target) {
				t.Errorf("%s publishes its port %s, but listens on %v", name, target, listening(s))
			}
		}
		slices.Sort(want)
		slices.Sort(got)
		if want != nil && !slices.Equal(got, want) {
			t.Errorf("%s publishes %v, want %v", name, got, want)
		}
	}
	for _, part := range slices.Sorted(maps.Keys(platform.DefaultPorts)) {
		if _, ok := seen[strconv.Itoa(platform.DefaultPorts[part])]; !ok {
			t.Errorf("no service publishes port %d of %s", platform.DefaultPorts[part], part)
		}
	}
	address := regexp.MustCompile(`(?:^|//|@|,)([a-z][a-z0-9-]*):(\d+)`)
	for name, s := range project.Services {
		for variable, value := range s.Environment {
			for _, m := range address.FindAllStringSubmatch(*value, -1) {
				other, ok := project.Services[m[1]]
				if !ok || !slices.Contains(listening(other), m[2]) {
					t.Errorf("%s: %s=%s: nobody listens on %s:%s", name, variable, *value, m[1], m[2])
				}
			}
		}
	}
}

// TestTopicsInFiles: what looks like a topic in the deployment's files is one.
func TestTopicsInFiles(t *testing.T) {
	known := map[string]bool{cdc.DefaultStateTopic: true}
	for _, topic := range schemas.Topics() {
		known[topic.Name] = true
		for _, letters := range topic.DeadLetters() {
			known[letters.Name] = true
		}
	}
	like := regexp.MustCompile(`\b(?:[a-z]+\.v[0-9]+|(?:cdc|quokka)(?:\.[a-z]+){2,})(?:\.[a-z-]+\.dlq)?\b`)
	root := filepath.Join(compose.Root(), "deploy")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !slices.Contains([]string{".yaml", ".json", ".properties"}, filepath.Ext(path)) ||
			strings.Contains(path, "testdata") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, name := range like.FindAllString(string(text), -1) {
			if !known[name] {
				t.Errorf("%s names %s, which is no topic", path, name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	kafka := everything(t, []string{compose.MainFile, compose.KafkaFile})
	if got, want := *kafka.Services["registry"].Environment["KARAPACE_TOPIC_NAME"], variablesInCode(t)["QUOKKA_REGISTRY_TOPIC"]; got != want {
		t.Errorf("Karapace keeps its schemas in %s, our registry in %s", got, want)
	}
}

// everything loads files with all profiles, in the environment that the main
// file's heading gives for them.
func everything(t *testing.T, files []string) *types.Project {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(compose.Root(), compose.MainFile))
	if err != nil {
		t.Fatal(err)
	}
	heading, _, _ := strings.Cut(string(text), "\nname:")
	env := regexp.MustCompile(`QUOKKA_[A-Z_]+=\S+`).FindAllString(heading, -1)
	project, err := compose.Load(t.Context(), files, []string{"*"}, env...)
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestComposeGrafana: Grafana asks where somebody listens, and finds the
// dashboards where they are mounted.
func TestComposeGrafana(t *testing.T) {
	project := everything(t, []string{compose.MainFile})
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(monitoring.Dir(), "grafana", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	sources := read("datasources/prometheus.yaml")
	urls := regexp.MustCompile(`url: http://([a-z-]+):(\d+)\n`).FindAllStringSubmatch(sources+"\n", -1)
	if len(urls) != 2 {
		t.Errorf("the sources are at %v, want Prometheus and Jaeger", urls)
	}
	for _, u := range urls {
		if s, ok := project.Services[u[1]]; !ok || !slices.Contains(listening(s), u[2]) {
			t.Errorf("Grafana asks %s:%s, where nobody listens", u[1], u[2])
		}
	}
	for _, m := range regexp.MustCompile(`datasourceUid: ([a-z]+)`).FindAllStringSubmatch(sources, -1) {
		if !strings.Contains(sources, "uid: "+m[1]+"\n") {
			t.Errorf("exemplars lead to source %s, which is not there", m[1])
		}
	}
	if !strings.Contains(sources, "uid: "+monitoring.SourceUID+"\n") {
		t.Errorf("the dashboards ask source %s, which is not there", monitoring.SourceUID)
	}
	path := regexp.MustCompile(`path: (\S+)`).FindStringSubmatch(read("dashboards/quokka.yaml") + " ")[1]
	path = strings.TrimSuffix(path, "}")
	if !slices.ContainsFunc(project.Services["grafana"].Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Target == path && v.Source == filepath.Join(monitoring.Dir(), "dashboards")
	}) {
		t.Errorf("Grafana looks for dashboards in %s, where none are mounted", path)
	}
}

// TestComposeTest: the script for machines with an engine calls this program as
// it can be called.
func TestComposeTest(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(compose.Root(), "deploy", "compose-test.sh"))
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`(?m) run .*--no-deps ([a-z]+) (.*)$`).FindAllStringSubmatch(string(text), -1)
	if len(calls) == 0 {
		t.Fatal("it calls nothing")
	}
	for _, call := range calls {
		s, ok := everything(t, []string{compose.MainFile}).Services[call[1]]
		if !ok {
			t.Fatalf("no service is called %s", call[1])
		}
		if _, err := parse(t, s.Environment, strings.Fields(call[2])); err != nil {
			t.Errorf("quokka %s: %v", call[2], err)
		}
	}
}

// TestCommandsInRunbooks: alerts and dashboards that say to use this program
// name commands that it has.
func TestCommandsInRunbooks(t *testing.T) {
	parser, err := kong.New(&commands{}, kong.Writers(io.Discard, io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, command := range parser.Model.Leaves(false) {
		words := strings.Fields(command.FullPath())[1:]
		for i := range words {
			known[strings.Join(words[:i+1], " ")] = true
		}
	}
	var texts []string
	rules, err := monitoring.Alerts()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		texts = append(texts, r.Annotations["runbook"])
	}
	for _, d := range monitoring.Dashboards {
		for _, r := range d.Rows {
			for _, p := range r.Panels {
				texts = append(texts, p.Why)
			}
		}
	}
	named := 0
	for _, text := range texts {
		for _, m := range regexp.MustCompile("`quokka ([a-z ]+)`").FindAllStringSubmatch(text, -1) {
			if named++; !known[m[1]] {
				t.Errorf("quokka %s is no command: %s", m[1], text)
			}
		}
		if strings.Contains(strings.ReplaceAll(text, "`quokka", ""), "quokka ") {
			t.Errorf("a command of quokka is not in backquotes: %s", text)
		}
	}
	if named == 0 {
		t.Error("nobody names a command")
	}
}
