package gen

import (
	"encoding/json"
	"fmt"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// limits are the bounds a field declares in JSON Schema's words. The numbers
// are kept as text: they are copied into the generated code.
type limits struct {
	minimum, maximum     json.Number
	minLength, maxLength json.Number
	minItems, maxItems   json.Number
}

// parseLimits reads the limits of a field. An attribute that is not a limit,
// or does not fit the field's type, is an error: a misspelt limit would
// otherwise limit nothing.
func parseLimits(f *codec.Field) (limits, error) {
	var l limits
	slots := map[string]struct {
		to   *json.Number
		fits []string
	}{
		"minimum":   {&l.minimum, []string{"int", "long", "float", "double"}},
		"maximum":   {&l.maximum, []string{"int", "long", "float", "double"}},
		"minLength": {&l.minLength, []string{"string", "bytes"}},
		"maxLength": {&l.maxLength, []string{"string", "bytes"}},
		"minItems":  {&l.minItems, []string{"array", "map"}},
		"maxItems":  {&l.maxItems, []string{"array", "map"}},
	}
	typ := nonNull(f.Type)
	for _, p := range f.Props {
		slot, ok := slots[p.Name]
		if !ok {
			return limits{}, fmt.Errorf("unknown attribute %q", p.Name)
		}
		if !contains(slot.fits, typ.Type) || typ.LogicalType() != "" {
			return limits{}, fmt.Errorf("%s does not apply to %s", p.Name, describe(typ))
		}
		if err := json.Unmarshal(p.Value, slot.to); err != nil {
			return limits{}, fmt.Errorf("%s is %s, not a number", p.Name, p.Value)
		}
		if _, err := slot.to.Int64(); err != nil {
			return limits{}, fmt.Errorf("%s is %s, not an integer", p.Name, p.Value)
		}
	}
	return l, nil
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// nonNull returns T for the union of null and T, n otherwise.
func nonNull(n *codec.Node) *codec.Node {
	if n.Type == "union" && len(n.Branches) == 2 {
		if n.Branches[0].Type == "null" {
			return n.Branches[1]
		}
		if n.Branches[1].Type == "null" {
			return n.Branches[0]
		}
	}
	return n
}

func describe(n *codec.Node) string {
	if l := n.LogicalType(); l != "" {
		return n.Type + " of logical type " + l
	}
	return n.FullName()
}
