package brokercmd

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
)

var update = flag.Bool("update", false, "write docs/broker-settings.md")

const pageHead = `# Broker settings

Every setting of a broker of Apache Kafka 4.1, and those of our own that begin with ` + "`quokka.`" + `: their defaults and what they do here. How they are given is in [configuration](configuration.md). This page is written by a test: ` + "`go test ./broker/brokercmd -run Page -update`" + `.

Changed while running: *cluster-wide* settings for one broker or as a default of all (` + "`kafka-configs --entity-type brokers`, with `--entity-name 1` or `--entity-default`" + `), *per-broker* ones for one broker; *no* means at a start only. What was changed while running wins over what is given at a start. A default that is not Kafka's is marked with its own in brackets.
`

// TestSettingsPage: docs/broker-settings.md says of every setting what the code says.
func TestSettingsPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "broker-settings.md")
	want := settingsPage()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s does not say what the code says; write it again with: go test ./broker/brokercmd -run Page -update", path)
	}
}

func settingsPage() string {
	var b strings.Builder
	b.WriteString(pageHead)
	configs := cluster.BrokerConfigs()
	b.WriteString("\n## With an effect\n\n| setting | default | changed while running | what it does |\n|---|---|---|---|\n")
	idle := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(configs)) {
		def := configs[name]
		switch {
		case def.Internal:
		case !def.HasEffect():
			_, why, _ := strings.Cut(def.Doc, "No effect")
			idle["No effect"+why] = append(idle["No effect"+why], "`"+name+"`")
		default:
			mode := def.Update.String()
			if def.Update == cluster.ReadOnly {
				mode = "no"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, defaultOf(name, def), mode, def.Doc)
		}
	}
	b.WriteString("\nFor one listener, with `listener.name.NAME.` before the name: all that begin with `ssl.` or `sasl.`, `max.connections` and `max.connection.creation.rate`.\n")
	b.WriteString("\n## Without an effect\n\nAccepted, checked, stored and described.\n\n| why | settings |\n|---|---|\n")
	for _, why := range slices.Sorted(maps.Keys(idle)) {
		fmt.Fprintf(&b, "| %s | %s |\n", why, strings.Join(idle[why], " "))
	}
	b.WriteString("\n## Of topics\n\nEvery setting of a topic of Apache Kafka 4.1, and those of schema validation. The default is the broker's setting of the third column, where there is one.\n\n| setting | default | broker's setting | what it does |\n|---|---|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(cluster.TopicConfigs)) {
		def, broker := cluster.TopicConfigs[name], ""
		if def.Synonym != "" {
			broker = "`" + def.Synonym + "`"
		}
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", name, def.Default, broker, def.Doc)
	}
	return strings.ReplaceAll(strings.ReplaceAll(b.String(), "| `` |", "| |"), "|  |", "| |")
}

// defaultOf is a setting's default, and Kafka's where that is another one.
func defaultOf(name string, def cluster.ConfigDef) string {
	text := ""
	if !def.Null && def.Default != "" {
		text = "`" + def.Default + "`"
	}
	if theirs, ok := cluster.KafkaDefault(name); ok {
		text += " (" + theirs + ")"
	}
	return strings.TrimSpace(text)
}
