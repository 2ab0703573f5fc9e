package codec

import (
	"encoding/json"
	"math"
)

// fits reports whether the node's logical type is one that its type can carry.
// Avro says to ignore one that does not fit, and Java does: such a schema is
// valid, and its values are those of the plain type.
func (n *Node) fits() bool {
	switch n.LogicalType() {
	case "decimal":
		return n.fitsDecimal()
	case "uuid":
		return n.Type == "string" || n.Type == "fixed" && n.Size == 16
	case "date", "time-millis":
		return n.Type == "int"
	case "time-micros",
		"timestamp-millis", "timestamp-micros", "timestamp-nanos",
		"local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos":
		return n.Type == "long"
	case "duration":
		return n.Type == "fixed" && n.Size == 12
	}
	return false
}

func (n *Node) fitsDecimal() bool {
	precision, ok := n.intProp("precision", 0)
	if !ok || precision <= 0 {
		return false
	}
	scale, ok := n.intProp("scale", 0)
	if !ok || scale < 0 || scale > precision {
		return false
	}
	switch n.Type {
	case "bytes":
		return true
	case "fixed":
		// The digits that any number of that many bytes can hold.
		return float64(precision) <= math.Floor(math.Log10(2)*(8*float64(n.Size)-1))
	}
	return false
}

func (n *Node) intProp(name string, absent int) (int, bool) {
	raw := n.Prop(name)
	if raw == nil {
		return absent, true
	}
	var i int
	return i, json.Unmarshal(raw, &i) == nil
}
