package brokercmd

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestProperties: Java's properties format.
func TestProperties(t *testing.T) {
	text := strings.Join([]string{
		"# a comment", "! another", "", "  a=1", "b : 2", "c 3", "d", "e=x=y:z", "f = one, \\", "     two\\", "   three", `g\ h=i`, `tab=a\tb`,
		`letter=\u00e9`, `path=C:\\kafka\\`, "crlf=1\r", "last=  ends with blanks  ", `odd=a\`,
	}, "\n")
	entries, err := parseProperties(text)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, fmt.Sprintf("%d %s=%s", e.line, e.name, e.value))
	}
	want := []string{"4 a=1", "5 b=2", "6 c=3", "7 d=", "8 e=x=y:z", "9 f=one, twothree", "12 g h=i", "13 tab=a\tb", "14 letter=é", `15 path=C:\kafka\`, "16 crlf=1", "18 last=  ends with blanks  ", `19 odd=a\`}
	want[11], want[12] = "17 last=ends with blanks  ", `18 odd=a\`
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if _, err := parseProperties("\n\na=\\u12"); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("a letter cut short: %v", err)
	}
}

// settingsOf reads the sources as the command does.
func settingsOf(t *testing.T, file string, environ []string, args ...string) (map[string]string, []string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	given := layer{}
	var config string
	var list bool
	if err := flagSet("broker", given, &config, &list).Parse(append([]string{"--config", path}, args...)); err != nil {
		return nil, nil, err
	}
	var notes []string
	got, err := Command{Environ: environ}.settings(given, config, &notes)
	return got, notes, err
}

// TestPrecedence: a flag before the environment before the file.
func TestPrecedence(t *testing.T) {
	for _, c := range []struct {
		name, file string
		environ    []string
		args       []string
		want       map[string]string
	}{
		{"the file", "num.partitions=1\nlog.retention.ms=5", nil, nil, map[string]string{"num.partitions": "1", "log.retention.ms": "5"}},
		{"the environment", "num.partitions=1", []string{"QUOKKA_BROKER_NUM_PARTITIONS=2", "NUM_PARTITIONS=9"}, nil, map[string]string{"num.partitions": "2"}},
		{"a flag", "num.partitions=1", []string{"QUOKKA_BROKER_NUM_PARTITIONS=2"}, []string{"--default-partitions", "3"}, map[string]string{"num.partitions": "3"}},
		{"an override", "", nil, []string{"--override", "num.partitions=4", "--override=log.retention.ms = 7"}, map[string]string{"num.partitions": "4", "log.retention.ms": "7"}},
		{"an empty variable", "num.partitions=1", []string{"QUOKKA_BROKER_NUM_PARTITIONS="}, nil, map[string]string{"num.partitions": "1"}},
		{"our own", "quokka.flush=os", []string{"QUOKKA_BROKER_FLUSH=interval", "QUOKKA_BROKER_METRICS=:1"}, []string{"--flush-every", "1500ms"},
			map[string]string{"quokka.flush": "interval", "quokka.metrics": ":1", "quokka.flush.interval.ms": "1500"}},
		{"switches", "", nil, []string{"--no-auto-create", "--allow-remote=false", "--group-initial-rebalance-delay", "-1s"},
			map[string]string{"auto.create.topics.enable": "false", "quokka.allow.remote": "false", "group.initial.rebalance.delay.ms": "0"}},
		{"the data directory", "log.dir=/file", []string{"QUOKKA_BROKER_DATA_DIR=/env"}, nil, map[string]string{"log.dirs": "/env"}},
		{"the data directory's other name", "log.dirs=/file", nil, []string{"--override", "log.dir=/flag"}, map[string]string{"log.dir": "/flag"}},
		{"the node's other name", "broker.id=1", nil, []string{"--node-id", "2"}, map[string]string{"node.id": "2"}},
		{"and back", "node.id=1", []string{"QUOKKA_BROKER_BROKER_ID=2"}, nil, map[string]string{"broker.id": "2"}},
		{"of one listener", "", []string{
			"QUOKKA_BROKER_LISTENER_NAME_MY_OWN_SSL_KEYSTORE_LOCATION=/k", "QUOKKA_BROKER_LISTENER_NAME_A_PLAIN_SASL_JAAS_CONFIG=j", "QUOKKA_BROKER_LISTENER_NAME_A_NUM_PARTITIONS=1",
		}, nil, map[string]string{"listener.name.my_own.ssl.keystore.location": "/k", "listener.name.a.plain.sasl.jaas.config": "j"}},
		{"one listener over several", "listeners=A://h:1\nlistener.security.protocol.map=A:SSL\nadvertised.listeners=A://x:1", nil, []string{"--listen", "h:2"}, map[string]string{"quokka.listen": "h:2"}},
		{"several over one", "quokka.listen=h:2\nquokka.sasl=true", []string{"QUOKKA_BROKER_LISTENERS=A://h:1"}, nil, map[string]string{"listeners": "A://h:1"}},
		{"not ours", "", []string{"QUOKKA_BROKER_ADDR=x", "QUOKKA_BROKER_TRACE=true", "QUOKKA_BROKER_SERVICE_HOST=10.0.0.1", "KAFKA_NUM_PARTITIONS=9"}, nil, map[string]string{}},
	} {
		got, notes, err := settingsOf(t, c.file, c.environ, c.args...)
		if err != nil || !maps.Equal(got, c.want) || (len(notes) > 0) != strings.Contains(c.name, " over ") {
			t.Errorf("%s: %v, %v, %v; want %v", c.name, got, notes, err, c.want)
		}
	}
}

// TestUnknown: a slip of the pen is refused, or reported, with the name that was
// meant; what is no setting at all is passed over.
func TestUnknown(t *testing.T) {
	has := func(what, text string, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q does not say %q", what, text, w)
			}
		}
	}
	_, _, err := settingsOf(t, "num.partitions=1\n\nlog.retention.mss=1\nquokka.metric=x\n", nil)
	if err == nil {
		t.Fatal("accepted")
	}
	has("the file", err.Error(), "server.properties", "line 3", `"log.retention.mss"`, "did you mean log.retention.ms?", "line 4", "did you mean quokka.metrics?")
	got, notes, err := settingsOf(t, "zookeeper.connect=x\nnum.partitions=1\nnum.partitions=2\n", []string{"QUOKKA_BROKER_NUM_PARTITION=3"})
	if err != nil || got["num.partitions"] != "2" || got["zookeeper.connect"] != "" {
		t.Errorf("%v, %v", got, err)
	}
	has("what is passed over", strings.Join(notes, "\n"), "line 1: zookeeper.connect", "line 3: num.partitions is there twice", "QUOKKA_BROKER_NUM_PARTITION is no setting; did you mean num.partitions?")
	if _, _, err := settingsOf(t, "", nil, "--override", "x"); err == nil {
		t.Error("an override without a value")
	}
}

// TestOptions: every flag is a setting, with a variable of its own.
func TestOptions(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range options {
		if !known(o.setting) {
			t.Errorf("--%s sets %s, which nobody knows", o.flag, o.setting)
		}
		if seen[o.variable()] {
			t.Errorf("%s is there twice", o.variable())
		}
		seen[o.variable()] = true
		if o.setting != "log.dirs" {
			if got := environment([]string{o.variable() + "=v"}, t.Errorf); got[o.setting] != "v" {
				t.Errorf("%s sets %v, not %s", o.variable(), got, o.setting)
			}
		}
	}
}

// FuzzProperties: whatever a file holds, it is read or refused, and a name and value
// without special letters come back.
func FuzzProperties(f *testing.F) {
	for _, seed := range []string{"a=b", "a\\", `\u00`, "a=\\\nb", "!\n#\n:=", "\\:=\\="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		entries, err := parseProperties(text)
		if err != nil {
			return
		}
		again, err := parseProperties(text + "\nlast.name=value")
		if err == nil && !continues(strings.TrimRight(text, "\r\n")) && (len(again) != len(entries)+1 || again[len(entries)].name != "last.name") {
			t.Errorf("%q: %v, then %v", text, entries, again)
		}
	})
}
