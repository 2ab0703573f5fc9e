package cdc

import (
	"strings"
	"testing"
)

func TestParseTrace(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct {
		content, parent, state string
	}{
		{good, good, ""},
		{good + "\n", good, ""},
		{good + "\nvendor=a,other=b", good, "vendor=a,other=b"},
		{good + "\nvendor=\x00", good, ""},
		{good + "\nvendor=ü", good, ""},
		{good + "\n" + strings.Repeat("x", 2000), good, ""},
		{strings.Replace(good, "00-", "cc-", 1), strings.Replace(good, "00-", "cc-", 1), ""},
		{"", "", ""},
		{"\n", "", ""},
		{strings.ToUpper(good), "", ""},
		{good + "0", "", ""},
		{good[1:], "", ""},
		{strings.Replace(good, "00-", "ff-", 1), "", ""},
		{"00-00000000000000000000000000000000-b7ad6b7169203331-01", "", ""},
		{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "", ""},
		{"00-0af7651916cd43dd8448eb211c80319cb-7ad6b7169203331-01", "", ""},
		{"00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", "", ""},
		{strings.ReplaceAll(good, "-", "_"), "", ""},
	} {
		got, ok := parseTrace([]byte(tt.content))
		if ok != (tt.parent != "") || string(got.parent) != tt.parent || string(got.state) != tt.state {
			t.Errorf("%q: %q %q %v", tt.content, got.parent, got.state, ok)
		}
	}
}
