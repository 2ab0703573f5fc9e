package javaserver

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/internal/freeport"
)

func TestJavaVersion(t *testing.T) {
	for text, want := range map[string]int{
		"openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime": 17,
		"java version \"1.8.0_452\"":                              8,
		"openjdk version \"25\" 2025-09-16":                       25,
		"command not found":                                       0,
	} {
		if got := javaVersion(text); got != want {
			t.Errorf("javaVersion(%q) = %d, want %d", text, got, want)
		}
	}
}

// TestNotRun: what is missing is said, with what to do about it.
func TestNotRun(t *testing.T) {
	const newJava, oldJava = "echo 'openjdk version \"21.0.1\"' >&2", "echo 'openjdk version \"11.0.2\"' >&2"
	tests := []struct {
		name     string
		programs map[string]string
		want     string
	}{
		{"no Java", nil, "no Java"},
		{"an old Java", map[string]string{"java": oldJava}, "is Java 11, OtherServer wants 17"},
		{"a new Java", map[string]string{"java": strings.Replace(newJava, "21", "25", 1)}, "is Java 25, OtherServer wants 17 to 23"},
		{"no Maven", map[string]string{"java": newJava}, "no Maven"},
		{"no answer for Maven", map[string]string{"java": newJava, "mvn": "echo '[ERROR] unknown host'; exit 1"}, "could not fetch its jars: [ERROR] unknown host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bin := t.TempDir()
			for name, script := range tt.programs {
				if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			t.Setenv("PATH", bin)
			t.Setenv("JAVA_HOME", "")
			_, err := Java(t.Context(), "OtherServer", Versions{Oldest: 17, Newest: 23})
			if err == nil {
				_, err = Resolve(t.Context(), "its jars", t.TempDir(), []byte("<project/>"))
			}
			if !IsNotRun(err) || !strings.Contains(err.Error(), "not run: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want not run: … %s", err, tt.want)
			}
		})
	}
}

// TestPidIsItsOwn: a process id that another program has got since is not the
// server's.
func TestPidIsItsOwn(t *testing.T) {
	p := Process{Dir: t.TempDir(), Mark: "/its/configuration"}
	for _, text := range []string{"1", "nonsense", ""} {
		if err := os.WriteFile(p.pidFile(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if pid := p.PID(); pid != 0 {
			t.Errorf("pid file %q: process %d is taken for the server", text, pid)
		}
	}
}

// TestProcess: a process that was started is found, ends when asked, and is
// gone; what it printed is there.
func TestProcess(t *testing.T) {
	for name, end := range map[string]func(Process) error{
		"asked":  func(p Process) error { return p.Stop(t.Context()) },
		"killed": func(p Process) error { return p.Kill(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			p := Process{Name: "the server", Dir: dir, Mark: filepath.Join(dir, "server.sh")}
			if err := os.WriteFile(p.Mark, []byte("echo serving\nwhile :; do sleep 0.05; done\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := p.Start(exec.Command("sh", p.Mark)); err != nil {
				t.Fatal(err)
			}
			if p.PID() == 0 {
				t.Fatalf("it does not run: %s", p.Trouble())
			}
			if err := end(p); err != nil {
				t.Fatal(err)
			}
			if pid := p.PID(); pid != 0 {
				t.Errorf("process %d is left", pid)
			}
			if err := p.Stop(t.Context()); err != nil {
				t.Errorf("stopped again: %v", err)
			}
			if err := p.Kill(t.Context()); err == nil || !strings.Contains(err.Error(), "the server does not run") {
				t.Errorf("killed again: %v", err)
			}
			if trouble := p.Trouble(); name == "asked" && !strings.Contains(trouble, "server.log") {
				t.Errorf("trouble: %s", trouble)
			}
		})
	}
}

func TestFree(t *testing.T) {
	port, err := freeport.Find() // nobody takes it once it is closed
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	if err := Free(l.Addr().String(), "THE_PORT"); err == nil || !strings.Contains(err.Error(), "THE_PORT") {
		t.Errorf("a taken port: %v", err)
	}
	l.Close()
	if err := Free(l.Addr().String(), "THE_PORT"); err != nil {
		t.Errorf("a free port: %v", err)
	}
}

func TestProperty(t *testing.T) {
	if v := Property([]byte("<properties><a.version>1</a.version><b.version>2.0</b.version>"), "b.version"); v != "2.0" {
		t.Errorf("got %q", v)
	}
}

// TestEnded: a server that was killed is gone when nothing of it can hold its
// ports, which is after its first thread has ended.
func TestEnded(t *testing.T) {
	for state, want := range map[string]bool{"Ssl": false, "D": false, "Zl": false, "Zsl": false, "Z": true, "Zs": true, "Z+": true} {
		if got := ended(state); got != want {
			t.Errorf("ended(%q) is %v, want %v", state, got, want)
		}
	}
}

// TestScripts: where the server does not start, the scripts that test on it fail.
// An empty address would have them test on what Quokka brings along.
func TestScripts(t *testing.T) {
	for _, name := range []string{"kafka-test.sh", "diff-kafka.sh", "opensearch-test.sh"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			called, fake := filepath.Join(dir, "called"), filepath.Join(dir, "go")
			script := "#!/bin/sh\necho \"$1\" >>" + called + "\n[ \"$1\" != run ]\n"
			if err := os.WriteFile(fake, []byte(script), 0o700); err != nil { //nolint:gosec // it is executed
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "sh", filepath.Join("..", name)) //nolint:gosec // one of ours
			cmd.Env = append(os.Environ(), "GO="+fake)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Errorf("it passed: %s", out)
			}
			if lines, err := os.ReadFile(called); string(lines) != "run\n" {
				t.Errorf("it called go for %q (%v): %s", lines, err, out)
			}
		})
	}
}
