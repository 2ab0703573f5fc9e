package newservice

import (
	"fmt"
	"go/token"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Drift is a part of the template that a service does not have as it is there.
type Drift struct {
	Service string
	// Part is its name, Template where it stands, Want what it would be here.
	Part, Template, Want string
}

func (d Drift) String() string {
	return fmt.Sprintf("services/%s has not, or not in this way, what %s calls %q:\n\t%s",
		d.Service, d.Template, d.Part, strings.ReplaceAll(strings.TrimSpace(d.Want), "\n", "\n\t"))
}

// Check compares every service of the checkout, the hand-written ones too, with
// what its template says today, in the parts that services have in common; layout,
// comments and ports are a service's own. It returns the services compared.
func Check(root string) (services []string, drifts []Drift, err error) {
	t := &tree{root: root}
	if services, err = t.services(); err != nil {
		return nil, nil, err
	}
	for _, name := range services {
		found, err := drift(t, name)
		if err != nil {
			return nil, nil, err
		}
		drifts = append(drifts, found...)
	}
	return services, drifts, nil
}

func drift(t *tree, service string) (found []Drift, err error) {
	files, err := t.list(path.Join("services", service))
	if err != nil {
		return nil, err
	}
	has := func(name string) bool {
		_, err := fs.Stat(t.fs(), path.Join("services", service, name))
		return err == nil
	}
	spec := Spec{Name: service, DB: has("migrations"), HTTP: has("http.go")}
	var code []string // the tokens of each file
	words := service
	for _, name := range files {
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			continue
		}
		text, err := t.read(name)
		if err != nil {
			return nil, err
		}
		if strings.Contains(string(text), `quokka/outbox"`) {
			spec.Produces = []string{sampleTopic}
		}
		if m := addrVariable.FindSubmatch(text); m != nil {
			words = strings.ReplaceAll(strings.ToLower(string(m[1])), "_", "-")
		}
		code = append(code, comparable(text))
	}
	source := spec.template()
	r := renderer{spec: spec, names: forms(source, service, words)}
	for _, name := range []string{"service.go", "cmd/" + source + "/main.go"} {
		name = path.Join("services", source, name)
		text, err := t.read(name)
		if err != nil {
			return nil, err
		}
		if _, err := r.file(name, text); err != nil {
			return nil, err
		}
	}
	for _, p := range r.parts {
		want := comparable([]byte(p.text))
		if !slices.ContainsFunc(code, func(file string) bool { return strings.Contains(file, want) }) {
			found = append(found, Drift{Service: service, Part: p.name, Template: fmt.Sprintf("%s:%d", p.file, p.line), Want: p.text})
		}
	}
	return found, nil
}

var (
	addrVariable = regexp.MustCompile(`env:"QUOKKA_([A-Z0-9_]+)_ADDR" envDefault:"127\.0\.0\.1:81`)
	anyPort      = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
)

// comparable is Go source without what does not count: its tokens, one a line, with
// one port for all.
func comparable(src []byte) string {
	var b strings.Builder
	b.WriteByte('\n')
	for _, t := range tokens(src) {
		if t.kind != token.COMMENT {
			b.WriteString(anyPort.ReplaceAllString(t.text, "127.0.0.1:PORT") + "\n")
		}
	}
	return b.String()
}
