package cluster

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// TestCommandsAreDocumented: docs/broker-files.md names every command that may be in
// cluster.log.
func TestCommandsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/broker-files.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the module is tested outside its workspace")
	}
	if err != nil {
		t.Fatal(err)
	}
	for name := range commands {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("the command %q is not on the page", name)
		}
	}
}
