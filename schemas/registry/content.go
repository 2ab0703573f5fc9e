package registry

import (
	"mime"
	"slices"
	"strconv"
	"strings"
)

// contentTypes are what responses can be, by preference.
var contentTypes = []string{"application/vnd.schemaregistry.v1+json", "application/vnd.schemaregistry+json", "application/json"}

// negotiate picks the content type by the Accept headers, "" for none.
func negotiate(accept []string) string {
	best, weight := "", 0.0
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			typ, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			q := 1.0
			if v, err := strconv.ParseFloat(params["q"], 64); err == nil {
				q = v
			}
			for i, offered := range contentTypes {
				if !mediaMatches(typ, offered) {
					continue
				}
				if w := q * (1 - 0.25*float64(i)); w > weight {
					best, weight = offered, w
				}
			}
		}
	}
	if best == "" {
		return contentTypes[0]
	}
	return best
}

func mediaMatches(pattern, typ string) bool {
	return pattern == "*/*" || pattern == "application/*" || pattern == typ
}

// acceptable refuses a request whose Accept header asks for something else.
func (r *request) acceptable() error {
	accept := r.Header.Values("Accept")
	if strings.TrimSpace(strings.Join(accept, "")) == "" {
		return nil
	}
	for _, header := range accept {
		for part := range strings.SplitSeq(header, ",") {
			typ, params, err := mime.ParseMediaType(part)
			if err == nil && params["q"] != "0" && slices.ContainsFunc(contentTypes, func(t string) bool { return mediaMatches(typ, t) }) {
				return nil
			}
		}
	}
	return errorf(406, 406, "HTTP 406 Not Acceptable: responses are %s", strings.Join(contentTypes, ", "))
}
