package codec_test

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// deviations are the texts of testdata/java.txt that we treat otherwise, and
// why.
var deviations = map[string]string{
	`{"type":"record","name":"é","fields":[]}`:                                         "Avro's specification allows letters of ASCII only, and other languages refuse the rest",
	`{"type":"record","name":"R","fields":[{"name":"f","type":"long","default":5.0}]}`: "5.0 is the integer 5 to the codec",
}

// TestJava checks what parses, and the canonical text, against Java's.
func TestJava(t *testing.T) {
	f, err := os.Open("testdata/java.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	count := 0
	for lines.Scan() {
		text := lines.Text()
		if strings.HasPrefix(text, "#") {
			continue
		}
		if !lines.Scan() {
			t.Fatalf("no result for %s", text)
		}
		want := lines.Text()
		if deviations[text] != "" {
			continue
		}
		count++
		s, err := codec.Parse(text)
		switch {
		case want == "-" && err == nil:
			t.Errorf("%s\nJava refuses it, we have %s", text, s)
		case want != "-" && err != nil:
			t.Errorf("%s\nJava has %s\nwe refuse it: %v", text, want, err)
		case want != "-" && s.String() != want:
			t.Errorf("%s\nJava has %s\nwe have  %s", text, want, s)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if count < 100 {
		t.Errorf("only %d cases", count)
	}
}
