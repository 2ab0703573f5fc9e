package newservice

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// Files of the platform that a service is added to.
const (
	rosterFile        = "deploy/roster/roster.go"
	configurationFile = "docs/configuration.md"
	composeFile       = "deploy/compose.services.yaml"
)

// enlist adds the service to the roster.
func enlist(t *tree, spec Spec) error {
	src, err := t.read(rosterFile)
	if err != nil {
		return err
	}
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, rosterFile, src, parser.ParseComments)
	if err != nil {
		return err
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	var edits []insertion
	for _, imp := range f.Imports {
		if strings.HasSuffix(imp.Path.Value, `/services/inventory"`) {
			mine := strings.Replace(imp.Path.Value, "inventory", spec.Name, 1)
			edits = append(edits, insertion{offset(imp.Pos()), mine + "\n"})
		}
	}
	for _, decl := range f.Decls {
		g, ok := decl.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		if v := g.Specs[0].(*ast.ValueSpec); v.Names[0].Name == "services" {
			if list, ok := only(v.Values).(*ast.CompositeLit); ok {
				edits = append(edits, insertion{offset(list.Rbrace), fmt.Sprintf(
					"entry(%[1]s.Name, %[1]s.New, func(c *%[1]s.Config, l net.Listener) { c.Listener = l }),\n", spec.Name)})
			}
		}
	}
	if len(edits) != 2 {
		return fmt.Errorf("%s: want an import of services/inventory and a list of services", rosterFile)
	}
	out, err := insert(rosterFile, src, edits)
	if err != nil {
		return err
	}
	t.write(rosterFile, out)
	return nil
}

// behind is the row of the configuration's table before which new services stand.
const behind = "| `QUOKKA_HTTP_RATE` |"

// document adds the service's variables to the table of the configuration.
func document(t *tree, spec Spec, port int) error {
	text, err := t.read(configurationFile)
	if err != nil {
		return err
	}
	at := bytes.Index(text, []byte(behind))
	if at < 0 {
		return fmt.Errorf("%s: want a row that begins with %q", configurationFile, behind)
	}
	upper := strings.ToUpper(spec.Name)
	rows := fmt.Sprintf("| `QUOKKA_%s_ADDR` | `127.0.0.1:%d` | where the %s service listens |\n", upper, port, spec.Name)
	if spec.DB {
		rows += fmt.Sprintf("| `QUOKKA_%s_DATABASE` | `quokka_%[2]s` | database and role of the %[2]s service |\n", upper, spec.Name)
	}
	t.write(configurationFile, bytes.Join([][]byte{text[:at], []byte(rows), text[at:]}, nil))
	return nil
}

// compose adds the service to those of docker compose.
func compose(t *tree, spec Spec, port int) error {
	text, err := t.read(composeFile)
	if err != nil {
		return err
	}
	text = bytes.Replace(text, []byte("\nservices: {}\n"), []byte("\nservices:"), 1)
	text = append(bytes.TrimRight(text, "\n"), "\n\n"...)
	t.write(composeFile, fmt.Appendf(text, `  %[1]s:
    <<: *service
    command: [%[1]s]
    environment: { <<: *env, QUOKKA_%[2]s_ADDR: ":%[3]d" }
    ports: ["127.0.0.1:%[3]d:%[3]d"]
    healthcheck: { <<: *health, test: [CMD, quokka, health, "http://127.0.0.1:%[3]d/readyz"] }
`, spec.Name, strings.ToUpper(spec.Name), port))
	return nil
}
