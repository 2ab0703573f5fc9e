package composed

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"os/exec"
	"strings"
	"testing"
)

// imageLimit bounds the image as a registry keeps it and a machine pulls it:
// the program, packed. The base below it adds about 1 MB.
const imageLimit = 29e6

// TestImageSize: the program in the image, which has no symbols for a debugger,
// packs into less than the limit.
func TestImageSize(t *testing.T) {
	file, err := elf.Open(binary(t))
	if err != nil {
		t.Skipf("not run: the image is built on Linux: %v", err)
	}
	defer file.Close()
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // builders pack tighter
	if err != nil {
		t.Fatal(err)
	}
	var size int
	for _, s := range file.Sections {
		if s.Flags&elf.SHF_ALLOC == 0 || s.Type == elf.SHT_NOBITS {
			continue
		}
		data, err := s.Data()
		if err != nil {
			t.Fatal(err)
		}
		size += len(data)
		if _, err := z.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("the program has %d MB, %d MB packed", size/1e6, packed.Len()/1e6)
	if packed.Len() > imageLimit {
		t.Errorf("the program packs into %d MB, the image may have 30 (go tool nm -size -sort size tells what is large)", packed.Len()/1e6)
	}
}

// TestProgramHoldsNoTools: what only tests and generators need is not linked
// into the program.
func TestProgramHoldsNoTools(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/quokka-stream/quokka/deploy/quokka").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{
		"github.com/prometheus/prometheus/", "github.com/compose-spec/", "github.com/rogpeppe/go-internal/",
		"pgregory.net/rapid", "github.com/anishathalye/porcupine", "testing",
	} {
		for dep := range strings.Lines(string(out)) {
			if dep = strings.TrimSpace(dep); dep == tool || strings.HasSuffix(tool, "/") && strings.HasPrefix(dep, tool) {
				t.Errorf("the program links %s", dep)
			}
		}
	}
}
