package cluster

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// source is the text of the module's Go files, without tests, the tables of settings
// and the command that only passes them on.
func source(t *testing.T) string {
	t.Helper()
	root := filepath.Join("..", "..")
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") ||
			strings.Contains(path, "cluster"+string(filepath.Separator)) && (name == "configs.go" || strings.HasPrefix(name, "brokerconfigs")) ||
			strings.Contains(path, "brokercmd"+string(filepath.Separator)) {
			return err
		}
		text, err := os.ReadFile(path)
		b.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEffects: a setting that is said to have an effect is named where it has it,
// and no other one is named anywhere.
func TestEffects(t *testing.T) {
	text := source(t)
	used := func(name string) bool { return strings.Contains(text, `"`+name+`"`) }
	defaults := map[string]bool{}
	for name, def := range TopicConfigs {
		if def.Synonym != "" {
			defaults[def.Synonym] = def.HasEffect()
		}
		if strings.HasPrefix(name, "confluent.") {
			continue // of a record check's, which is a program's own
		}
		if def.HasEffect() != used(name) && name != "preallocate" { // also a word for what files do
			t.Errorf("topic setting %s: its documentation says that it has an effect is %v, the code names it is %v", name, def.HasEffect(), used(name))
		}
	}
	for name, effect := range maps.Clone(defaults) {
		for _, s := range BrokerConfigs()[name].Synonyms {
			defaults[s.Name] = effect
		}
	}
	for name, def := range BrokerConfigs() {
		if effect, isDefault := defaults[name]; isDefault {
			if effect != def.HasEffect() {
				t.Errorf("broker setting %s: effect %v, as a topic's default %v", name, def.HasEffect(), effect)
			}
			continue
		}
		// What may be said of one listener is named together.
		if def.HasEffect() != used(name) && (def.HasEffect() || !perListener(name)) {
			t.Errorf("broker setting %s: its documentation says that it has an effect is %v, the code names it is %v", name, def.HasEffect(), used(name))
		}
	}
}
