package gen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// A place is where a value is: the Go expression for it, and its path as a
// format string with the index variables that fill it.
type place struct {
	expr   string
	format string
	args   []string
	depth  int
}

// failure is the statement that reports the place.
func (p place) failure(problem string) string {
	return fmt.Sprintf("return %s, %s\n", p.path(), strconv.Quote(problem))
}

func (p place) path() string {
	if len(p.args) == 0 {
		return strconv.Quote(p.format)
	}
	return "fmt.Sprintf(" + strconv.Quote(p.format) + ", " + strings.Join(p.args, ", ") + ")"
}

func (p place) index(verb, arg, expr string) place {
	return place{expr: expr, format: p.format + "[" + verb + "]", args: append(p.args[:len(p.args):len(p.args)], arg), depth: p.depth + 1}
}

// checks returns the statements that check the value at p, "" where every
// value of its Go type is allowed.
func checks(n *codec.Node, l limits, p place) string {
	if inner := nonNull(n); inner != n {
		body := checks(inner, l, place{expr: "(*" + p.expr + ")", format: p.format, args: p.args, depth: p.depth})
		if body == "" {
			return ""
		}
		return "if " + p.expr + " != nil {\n" + body + "}\n"
	}
	switch n.Type {
	case "int", "long", "float", "double":
		if strings.HasPrefix(n.LogicalType(), "timestamp-") {
			return "if problem := timeProblem(" + p.expr + "); problem != \"\" {\nreturn " + p.path() + ", problem\n}\n"
		}
		return bound(p, p.expr, "<", l.minimum.String(), "is less than ") + bound(p, p.expr, ">", l.maximum.String(), "is more than ")
	case "string":
		return stringChecks(n, l, p)
	case "bytes":
		return length(p, "len("+p.expr+")", l.minLength.String(), l.maxLength.String(), "bytes")
	case "enum":
		return "if !valid" + n.Name + "(" + p.expr + ") {\n" + p.failure("is not one of "+strings.Join(n.Symbols, ", ")) + "}\n"
	case "record":
		return "if field, problem := " + p.expr + ".check(); problem != \"\" {\nreturn " + p.path() + " + \".\" + field, problem\n}\n"
	case "array":
		return length(p, "len("+p.expr+")", l.minItems.String(), l.maxItems.String(), "items") + arrayChecks(n, p)
	case "map":
		return length(p, "len("+p.expr+")", l.minItems.String(), l.maxItems.String(), "entries") + mapChecks(n, p)
	}
	return ""
}

func stringChecks(n *codec.Node, l limits, p place) string {
	if n.LogicalType() == "uuid" {
		return "if !isUUID(" + p.expr + ") {\n" + p.failure("is not a UUID") + "}\n"
	}
	return "if !utf8.ValidString(" + p.expr + ") {\n" + p.failure("is not valid UTF-8") + "}\n" +
		length(p, "utf8.RuneCountInString("+p.expr+")", l.minLength.String(), l.maxLength.String(), "characters")
}

func arrayChecks(n *codec.Node, p place) string {
	i := "i" + suffix(p.depth)
	body := checks(n.Elem, limits{}, p.index("%d", i, p.expr+"["+i+"]"))
	if body == "" {
		return ""
	}
	return "for " + i + " := range " + p.expr + " {\n" + body + "}\n"
}

// mapChecks checks keys, which are strings, and values. A value is a copy: its
// address can be taken, that of a map element cannot.
func mapChecks(n *codec.Node, p place) string {
	k, v := "k"+suffix(p.depth), "v"+suffix(p.depth)
	at := p.index("%q", k, v)
	body := checks(n.Elem, limits{}, at)
	head := "for " + k + ", " + v + " := range " + p.expr + " {\n"
	if body == "" {
		head = "for " + k + " := range " + p.expr + " {\n"
	}
	return head + "if !utf8.ValidString(" + k + ") {\n" + at.failure("has a key that is not valid UTF-8") + "}\n" + body + "}\n"
}

func bound(p place, expr, op, limit, words string) string {
	if limit == "" {
		return ""
	}
	return "if " + expr + " " + op + " " + limit + " {\n" + p.failure(words+limit) + "}\n"
}

func length(p place, expr, least, most, unit string) string {
	var out string
	switch least {
	case "":
	case "1":
		out = "if " + expr + " == 0 {\n" + p.failure("is empty") + "}\n"
	default:
		out = bound(p, expr, "<", least, "has fewer "+unit+" than ")
	}
	return out + bound(p, expr, ">", most, "has more "+unit+" than ")
}

func suffix(depth int) string {
	if depth == 0 {
		return ""
	}
	return strconv.Itoa(depth)
}
