package newservice

import (
	"fmt"
	"go/token"
	"go/types"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Spec says which service to make.
type Spec struct {
	// Name is its name, folder and package: one word in lower case.
	Name string
	// Consumes are topics that exist, Produces topics that the service brings.
	Consumes, Produces []string
	// DB gives it a database; Produces implies it. HTTP gives it an API.
	DB, HTTP bool
	// Reserved are names that it may not have, such as those of commands.
	Reserved []string
}

// Command is the command line that makes the service, in one form for all that mean
// the same.
func (s Spec) Command() string {
	s = s.normalized()
	command := "quokka new service " + s.Name + " --consumes " + strings.Join(s.Consumes, ",")
	if len(s.Produces) > 0 {
		command += " --produces " + strings.Join(s.Produces, ",")
	}
	if s.DB {
		command += " --db"
	}
	if s.HTTP {
		command += " --http"
	}
	return command
}

// normalized sorts the topics, each named once, and adds what is implied.
func (s Spec) normalized() Spec {
	tidy := func(names []string) []string {
		out := slices.Sorted(slices.Values(names))
		return slices.Compact(out)
	}
	s.Consumes, s.Produces = tidy(s.Consumes), tidy(s.Produces)
	s.DB = s.DB || len(s.Produces) > 0
	return s
}

// template is the folder of the template for the service.
func (s Spec) template() string {
	if s.DB {
		return "template"
	}
	return "templateplain"
}

// names maps the template's name to the service's, in all its forms.
func (s Spec) names(template string) map[string]string { return forms(template, s.Name, s.Name) }

// forms maps a template's name to that of a service: its name in Go, and in words.
func forms(template, goName, words string) map[string]string {
	upper := func(s string) string { return strings.ReplaceAll(strings.ToUpper(s), "-", "_") }
	return map[string]string{
		template: goName, template + "_test": goName + "_test", // identifiers
		"services/" + template: "services/" + goName,
		"quokka_" + template:   "quokka_" + goName,
		upper(template):        upper(words),
		template + " ":         words + " ",
		`"` + template + `"`:   `"` + words + `"`,
	}
}

var (
	serviceName  = regexp.MustCompile(`^[a-z][a-z0-9]{2,29}$`)
	producedName = regexp.MustCompile(`^[a-z]{3,40}\.v1$`)
)

// check refuses names that would not work, and says which would.
func (s Spec) check(t *tree) error {
	if !serviceName.MatchString(s.Name) {
		return fmt.Errorf("%q is no name for a service: want one word of 3 to 30 lower-case letters and digits, such as payment", s.Name)
	}
	if slices.Contains(s.Reserved, s.Name) {
		return fmt.Errorf("the name %s is taken by the command `quokka %s`, or by a part of the platform", s.Name, s.Name)
	}
	if token.IsKeyword(s.Name) || slices.Contains(types.Universe.Names(), s.Name) {
		return fmt.Errorf("the name %s has a meaning in Go: choose another", s.Name)
	}
	if isTemplate(s.Name) {
		return fmt.Errorf("services/%s is the template itself: choose another name", s.Name)
	}
	used, err := identifiers(t)
	if err != nil {
		return err
	}
	if used[s.Name] {
		return fmt.Errorf("the name %s is that of a package or variable in the code that would be generated: choose another", s.Name)
	}
	for _, name := range s.Produces {
		if !producedName.MatchString(name) {
			return fmt.Errorf("--produces %s: a new topic is named by a word of lower-case letters and its first version, such as payments.v1", name)
		}
		if slices.Contains(s.Consumes, name) {
			return fmt.Errorf("the service would consume what it produces on %s: it would answer itself for ever", name)
		}
	}
	return nil
}

// identifiers are those that stand beside the service's name in generated code.
func identifiers(t *tree) (map[string]bool, error) {
	used := map[string]bool{"internal": true, "kit": true, "cmd": true, "vendor": true}
	files := []string{rosterFile}
	for _, name := range templates {
		more, err := t.list(path.Join("services", name))
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	for _, file := range files {
		if path.Ext(file) != ".go" {
			continue
		}
		text, err := t.read(file)
		if err != nil {
			return nil, err
		}
		for _, tok := range tokens(text) {
			if tok.kind == token.IDENT {
				used[tok.text] = true
			}
		}
	}
	// The services in the roster are there to be found, not to be avoided.
	services, err := t.services()
	if err != nil {
		return nil, err
	}
	for _, name := range services {
		delete(used, name)
	}
	return used, nil
}
