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

// notAnswered says of each key of Kafka's that is not answered why that is so. It
// and table hold every key between them.
var notAnswered = map[int16]string{}

func init() {
	for reason, keys := range map[string][]int16{
		"between Kafka's brokers and controllers, no client asks it": {4, 5, 6, 7, 52, 53, 54, 56, 58, 59, 62, 63, 67, 70, 73, 82},
		"no controllers apart from the broker; not in Kafka 4.1":     {94},
		"no delegation tokens": {38, 39, 40, 41},
		"no client metrics are collected; Kafka advertises it only where a reporter takes them": {71, 72},
		"no share groups": {76, 77, 78, 79, 90, 91, 92},
		"between brokers, for share groups, which are not there": {83, 84, 85, 86, 87},
		"no streams groups": {88, 89, 93},
	} {
		for _, key := range keys {
			notAnswered[key] = reason
		}
	}
}

// TestEveryKeyIsDecided: a key is answered, or there is a reason why not.
func TestEveryKeyIsDecided(t *testing.T) {
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		_, answered := table[key]
		_, reason := notAnswered[key]
		if answered == reason {
			t.Errorf("key %d, %s: answered %t, with a reason why not %t", key, kmsg.NameForKey(key), answered, reason)
		}
	}
}

// TestDocumentedKeys: docs/broker.md lists every key, with the versions that are
// advertised, or why it is not answered.
func TestDocumentedKeys(t *testing.T) {
	const file = "../../../docs/broker.md"
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the module is tested outside its workspace")
	}
	if err != nil {
		t.Fatal(err)
	}
	versions := map[int16]string{}
	for key, reason := range notAnswered {
		versions[key] = "not answered: " + reason
	}
	Advertised(func(key, min, max int16) {
		versions[key] = fmt.Sprintf("%d–%d", min, max)
		if min == max {
			versions[key] = fmt.Sprint(min)
		}
	})
	var want []string
	for key := int16(0); key <= kmsg.MaxKey; key++ {
		want = append(want, fmt.Sprintf("| %d | %s | %s |", key, kmsg.NameForKey(key), versions[key]))
	}
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
		t.Errorf("the page's table of keys is not what is advertised; run with -rewrite. It should be:\n%s", table)
	}
}
