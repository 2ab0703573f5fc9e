package newservice

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
)

const (
	topicsFile = "schemas/topics.go"
	logsTopic  = "logs.v1"
	// sampleTopic is what the template produces.
	sampleTopic = "examples.v1"
)

// topic is a topic as schemas/topics.go declares it.
type topic struct {
	name     string   // orders.v1
	constant string   // TopicOrders
	variable string   // Orders
	events   []string // full names
}

// typed says whether the topic's event types are known.
func (t topic) typed() bool { return len(t.events) > 0 }

// declarations is schemas/topics.go.
type declarations struct {
	src    []byte
	file   *ast.File
	fset   *token.FileSet
	topics []topic // in the order of Topics()
	sample topic
}

// readTopics reads the declarations from the checkout: what was added to it since
// the command was built counts too.
func readTopics(t *tree) (*declarations, error) {
	d := &declarations{fset: token.NewFileSet()}
	var err error
	if d.src, err = t.read(topicsFile); err != nil {
		return nil, err
	}
	if d.file, err = parser.ParseFile(d.fset, topicsFile, d.src, parser.ParseComments); err != nil {
		return nil, err
	}
	values := map[string]string{} // of string constants
	for name, spec := range d.specs(token.CONST) {
		if lit, ok := only(spec.Values).(*ast.BasicLit); ok {
			values[name], _ = strconv.Unquote(lit.Value)
		}
	}
	byVariable := map[string]topic{}
	for name, spec := range d.specs(token.VAR) {
		lit, ok := only(spec.Values).(*ast.CompositeLit)
		if !ok {
			continue
		}
		found := topic{variable: name}
		if id, ok := field(lit, "Name").(*ast.Ident); ok {
			found.constant, found.name = id.Name, values[id.Name]
		}
		if list, ok := field(lit, "Schemas").(*ast.CompositeLit); ok {
			for _, e := range list.Elts {
				if s, ok := e.(*ast.BasicLit); ok {
					full, _ := strconv.Unquote(s.Value)
					found.events = append(found.events, full)
				}
			}
		}
		byVariable[name] = found
		if found.name == sampleTopic {
			d.sample = found
		}
	}
	list := d.listed()
	if list == nil || d.sample.name == "" {
		return nil, fmt.Errorf("%s: want func Topics to return a list, and a declaration of %s", topicsFile, sampleTopic)
	}
	for _, e := range list.Elts {
		if id, ok := e.(*ast.Ident); ok {
			d.topics = append(d.topics, byVariable[id.Name])
		}
	}
	return d, nil
}

// specs are the declared names of a kind.
func (d *declarations) specs(kind token.Token) map[string]*ast.ValueSpec {
	out := map[string]*ast.ValueSpec{}
	for _, decl := range d.file.Decls {
		if g, ok := decl.(*ast.GenDecl); ok && g.Tok == kind {
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				out[v.Names[0].Name] = v
			}
		}
	}
	return out
}

// listed is the list that Topics returns.
func (d *declarations) listed() (list *ast.CompositeLit) {
	for _, decl := range d.file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == "Topics" && f.Recv == nil {
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if l, ok := n.(*ast.CompositeLit); ok && list == nil {
					list = l
				}
				return true
			})
		}
	}
	return list
}

func only(values []ast.Expr) ast.Expr {
	if len(values) == 1 {
		return values[0]
	}
	return nil
}

// field is the value of a struct literal's field, nil if it is not set.
func field(lit *ast.CompositeLit, name string) ast.Expr {
	for _, e := range lit.Elts {
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			if key, ok := kv.Key.(*ast.Ident); ok && key.Name == name {
				return kv.Value
			}
		}
	}
	return nil
}

func (d *declarations) lookup(name string) (topic, bool) {
	i := slices.IndexFunc(d.topics, func(t topic) bool { return t.name == name })
	if i < 0 {
		return topic{}, false
	}
	return d.topics[i], true
}

// consumed looks up what the service consumes.
func (d *declarations) consumed(s Spec) (out []topic, err error) {
	var known []string
	for _, t := range d.topics {
		known = append(known, t.name)
	}
	if len(s.Consumes) == 0 {
		return nil, fmt.Errorf("name what the service consumes: --consumes TOPIC[,TOPIC], of %s (one that only produces begins as a copy of services/order)", strings.Join(known, ", "))
	}
	for _, name := range s.Consumes {
		t, ok := d.lookup(name)
		if !ok {
			return nil, fmt.Errorf("--consumes %s: there is no such topic; there are %s", name, strings.Join(known, ", "))
		}
		out = append(out, t)
	}
	return out, nil
}

// produced makes up the declarations of what the service produces.
func (d *declarations) produced(tr *tree, s Spec) (out []topic, err error) {
	declared := map[string]bool{}
	for _, kind := range []token.Token{token.CONST, token.VAR} {
		for name := range d.specs(kind) {
			declared[name] = true
		}
	}
	for _, decl := range d.file.Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			declared[decl.Name.Name] = true
		case *ast.GenDecl:
			for _, s := range decl.Specs {
				if t, ok := s.(*ast.TypeSpec); ok {
					declared[t.Name.Name] = true
				}
			}
		}
	}
	for _, name := range s.Produces {
		if _, ok := d.lookup(name); ok || name == sampleTopic {
			return nil, fmt.Errorf("--produces %s: the topic is declared already. A topic has one writer, and only that knows what its events say: name a topic that is new, such as %ss.v1", name, s.Name)
		}
		stem := strings.TrimSuffix(name, ".v1")
		noun := singular(stem)
		variable := strings.ToUpper(stem[:1]) + stem[1:]
		t := topic{
			name: name, variable: variable, constant: "Topic" + variable,
			events: []string{"quokka." + noun + ".v1." + strings.ToUpper(noun[:1]) + noun[1:] + "Recorded"},
		}
		if declared[t.variable] || declared[t.constant] {
			return nil, fmt.Errorf("--produces %s: its name in Go, %s, is taken: choose another", name, t.variable)
		}
		if taken, err := tr.list("schemas/avro/" + noun); err == nil && len(taken) > 0 {
			return nil, fmt.Errorf("--produces %s: its schemas would be in schemas/avro/%s, where others are: choose another name", name, noun)
		}
		out = append(out, t)
	}
	return out, nil
}

// singular is what one of many is called, as far as English has rules.
func singular(word string) string {
	for _, rule := range []struct{ ending, one string }{
		{"ies", "y"}, {"sses", "ss"}, {"xes", "x"}, {"ches", "ch"}, {"shes", "sh"},
		{"ss", "ss"}, {"us", "us"}, {"is", "is"}, {"s", ""},
	} {
		if stem, ok := strings.CutSuffix(word, rule.ending); ok && len(stem) >= 2 {
			return stem + rule.one
		}
	}
	return word
}

// short is a type's name without its namespace.
func short(full string) string { return full[strings.LastIndexByte(full, '.')+1:] }

// lower makes a name begin with a small letter.
func lower(name string) string { return strings.ToLower(name[:1]) + name[1:] }

// forConsumed, forUntyped, forEvent and forProduced say what the samples' names
// stand for.
func (t topic) forConsumed() map[string]string {
	return map[string]string{
		"orders.v1": t.name, "TopicOrders": t.constant, "Orders": t.variable, "ordersReceived": lower(t.variable) + "Received",
	}
}

func (t topic) forUntyped() map[string]string {
	noun := strings.TrimPrefix(t.variable, "CDC")
	return map[string]string{
		"cdc.order.public.customers": t.name, "TopicCDCCustomers": t.constant,
		"customersChanged": lower(noun) + "Changed", "TestCustomersChanged": "Test" + noun + "Changed",
	}
}

func (t topic) forEvent(full string) map[string]string {
	names := t.forConsumed()
	maps.Copy(names, map[string]string{
		"quokka.order.v1.OrderPlaced": full, "OrderPlaced": short(full), "orderPlaced": lower(short(full)),
	})
	return names
}

func (t topic) forProduced() map[string]string {
	return map[string]string{
		sampleTopic: t.name, "TopicExamples": t.constant, "Examples": t.variable,
		"quokka.example.v1.ExampleRecorded": t.events[0], "ExampleRecorded": short(t.events[0]),
	}
}
