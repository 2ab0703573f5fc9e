// Package newservice makes a service of one's own from the services in
// services/template and services/templateplain, which are compiled and tested like
// any other: what is generated has been seen working as it stands there.
//
// The templates are read from the checkout and rewritten token by token: names of
// services, topics and events are replaced where Go sees a name, a string or a
// comment, never in the middle of something else. What an option leaves out, or what
// there is once for each event, is marked in the templates by comments; see
// [render]. A service is added to the platform by a line in deploy/roster and by the
// declaration of its topics in schemas/topics.go; everything else follows from
// those, or is a file of its own.
//
// A service that produces has a database: an event leaves by the outbox, in the
// transaction of the effect that it announces. Without one, a crash between the two
// would lose one or repeat the other, and nothing is lost and nothing happens twice
// is what the platform promises.
//
// Making the same service again changes nothing. Nothing is written before
// everything is known to fit.
package newservice

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Result is what was done.
type Result struct {
	Spec Spec
	// Again is true if the service was there already, made with the same arguments.
	Again bool
	// Port is where the service will listen.
	Port int
	// Added and Changed are files, by their path in the checkout.
	Added, Changed []string
}

// Create makes a service in the checkout at root.
func Create(root string, spec Spec) (Result, error) {
	spec = spec.normalized()
	t := &tree{root: root}
	decl, err := readTopics(t)
	if err != nil {
		return Result{}, err
	}
	if err := spec.check(t); err != nil {
		return Result{}, err
	}
	if made, exists, err := madeBy(t, spec.Name); err != nil {
		return Result{}, err
	} else if exists {
		return Result{Spec: spec, Again: true}, sameAs(spec, made)
	}
	consumed, err := decl.consumed(spec)
	if err != nil {
		return Result{}, err
	}
	produced, err := decl.produced(t, spec)
	if err != nil {
		return Result{}, err
	}
	port, err := freePort(t)
	if err != nil {
		return Result{}, err
	}
	for _, step := range []func() error{
		func() error { return addFolder(t, spec, consumed, produced, port) },
		func() error { return addSchemas(t, spec, produced) },
		func() error { return declare(t, spec, consumed, produced) },
		func() error { return enlist(t, spec) },
		func() error { return document(t, spec, port) },
		func() error { return compose(t, spec, port) },
	} {
		if err := step(); err != nil {
			return Result{}, fmt.Errorf("%w (nothing was written)", err)
		}
	}
	r := Result{Spec: spec, Port: port}
	r.Added, r.Changed, err = t.flush()
	return r, err
}

// Exists reports whether there is a service of this name, made by whatever.
func Exists(root, name string) bool {
	services, err := (&tree{root: root}).services()
	return err == nil && slices.Contains(services, name)
}

// madeBy returns the command that made a service; exists is false if there is no
// such folder, and made is "" if the service was written by hand.
func madeBy(t *tree, name string) (made string, exists bool, err error) {
	folder := path.Join("services", name)
	if _, err := fs.Stat(t.fs(), folder); errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	} else if err != nil {
		return "", false, err
	}
	doc, err := t.read(path.Join(folder, "doc.go"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", true, err
	}
	for line := range strings.Lines(string(doc)) {
		if command, ok := strings.CutPrefix(line, "//"+directive); ok {
			return "quokka " + strings.TrimSpace(command), true, nil
		}
	}
	return "", true, nil
}

// sameAs refuses to make a service anew with other arguments.
func sameAs(spec Spec, made string) error {
	switch made {
	case spec.Command():
		return nil
	case "":
		return fmt.Errorf("services/%s exists and was written by hand: choose another name", spec.Name)
	}
	return fmt.Errorf("services/%s exists and was made by other arguments: %s\nAdd to it by hand, or choose another name", spec.Name, made)
}

// directive begins the line of a service's doc.go that says how it was made, in the
// form of Go's directives.
const directive = "quokka:"

// addFolder adds the service's own files.
func addFolder(t *tree, spec Spec, consumed, produced []topic, port int) error {
	source := spec.template()
	r := renderer{spec: spec, consumed: consumed, produced: produced, names: spec.names(source)}
	r.names[strconv.Itoa(templatePort[source])] = strconv.Itoa(port)
	files, err := t.list(path.Join("services", source))
	if err != nil {
		return err
	}
	for _, from := range files {
		name := path.Base(from)
		if name == "doc.go" || name == "http.go" && !spec.HTTP {
			continue
		}
		text, err := t.read(from)
		if err != nil {
			return err
		}
		out, err := r.file(from, text)
		if err != nil {
			return err
		}
		t.write(strings.ReplaceAll(from, source, spec.Name), out)
	}
	t.write(path.Join("services", spec.Name, "doc.go"), []byte(spec.doc()))
	return nil
}

// doc is the service's doc.go.
func (s Spec) doc() string {
	does, where := "watches", ""
	if s.DB {
		does, where = "records", ", each once"
	}
	text := fmt.Sprintf("Package %s %s the events of %s%s", s.Name, does, list(s.Consumes), where)
	if len(s.Produces) > 0 {
		text += ", and announces them on " + list(s.Produces)
	}
	return wrap(text+".") + "//\n//" + directive + strings.TrimPrefix(s.Command(), "quokka ") + "\npackage " + s.Name + "\n"
}

// wrap breaks text into comment lines.
func wrap(text string) string {
	var b strings.Builder
	line := "//"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > 84 {
			b.WriteString(line + "\n")
			line = "//"
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

// list joins names as in a sentence.
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// templatePort is where the templates themselves would listen.
var templatePort = map[string]int{"template": 8199, "templateplain": 8198}

// templates are the folders of the templates in services.
var templates = []string{"template", "templateplain"}

func isTemplate(name string) bool { return slices.Contains(templates, name) }
