package gen

import (
	"fmt"
	"strings"

	"github.com/quokka-stream/quokka/schemas/codec"
)

// goType returns the Go type of an Avro type. Nullable types are pointers;
// unions of more are refused, as is what no event has needed yet.
func goType(n *codec.Node) (string, error) {
	switch n.LogicalType() {
	case "timestamp-millis", "timestamp-micros", "timestamp-nanos":
		return "time.Time", nil
	case "", "uuid":
	default:
		return "", fmt.Errorf("logical type %s is not supported by the generator", n.LogicalType())
	}
	switch n.Type {
	case "boolean":
		return "bool", nil
	case "int":
		return "int32", nil
	case "long":
		return "int64", nil
	case "float":
		return "float32", nil
	case "double":
		return "float64", nil
	case "string":
		return "string", nil
	case "bytes":
		return "[]byte", nil
	case "record", "enum":
		return n.Name, nil
	case "array":
		elem, err := goType(n.Elem)
		return "[]" + elem, err
	case "map":
		elem, err := goType(n.Elem)
		return "map[string]" + elem, err
	case "union":
		if inner := nonNull(n); inner != n {
			t, err := goType(inner)
			return "*" + t, err
		}
	}
	return "", fmt.Errorf("%s is not supported by the generator", n.Type)
}

// initialisms are words that Go writes in capitals.
var initialisms = map[string]string{
	"id": "ID", "ids": "IDs", "sku": "SKU", "skus": "SKUs", "url": "URL", "uuid": "UUID", "http": "HTTP", "ip": "IP",
}

// goName turns an Avro name such as order_id into OrderID.
func goName(avro string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(avro, "_") {
		if up, ok := initialisms[word]; ok {
			b.WriteString(up)
			continue
		}
		if word != "" {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

// comment wraps text as a Go comment.
func comment(indent, text string) string {
	var b strings.Builder
	line := indent + "//"
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 79 && line != indent+"//" {
			b.WriteString(line + "\n")
			line = indent + "//"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
	return b.String()
}
