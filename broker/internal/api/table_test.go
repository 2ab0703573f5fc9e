package api

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var rewrite = flag.Bool("rewrite", false, "write the table of keys into docs/broker.md")

// TestDocumentedKeys: docs/broker.md lists exactly what is advertised.
func TestDocumentedKeys(t *testing.T) {
	const file = "../../../docs/broker.md"
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the module is tested outside its workspace")
	}
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	Advertised(func(key, min, max int16) {
		versions := fmt.Sprintf("%d–%d", min, max)
		if min == max {
			versions = fmt.Sprint(min)
		}
		want = append(want, fmt.Sprintf("| %d | %s | %s |", key, kmsg.NameForKey(key), versions))
	})
	const head = "| key | request | versions |\n|---|---|---|\n"
	before, rest, ok := strings.Cut(string(text), head)
	if !ok {
		t.Fatal("the page has no table of keys")
	}
	got, after, _ := strings.Cut(rest, "\n\n")
	if *rewrite {
		if err := os.WriteFile(file, []byte(before+head+strings.Join(want, "\n")+"\n\n"+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table := strings.Join(want, "\n"); got != table {
		t.Errorf("the page's table of keys is not what is advertised; run with -rewrite. Advertised:\n%s", table)
	}
}
