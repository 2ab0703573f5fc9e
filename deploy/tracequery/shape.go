package tracequery

// Node is a span in the tree of its trace.
type Node struct {
	Span
	Depth int
}

// Tree returns the spans depth first, children by start time. A span whose
// parent is missing stands at the top.
func (t Trace) Tree() []Node {
	children, present := map[string][]Span{}, map[string]bool{}
	for _, s := range t.Spans {
		present[s.ID] = true
	}
	var (
		out   []Node
		place func(Span, int)
	)
	for _, s := range t.Spans {
		if present[s.Parent] {
			children[s.Parent] = append(children[s.Parent], s)
		}
	}
	place = func(s Span, depth int) {
		out = append(out, Node{s, depth})
		for _, child := range children[s.ID] {
			place(child, depth+1)
		}
	}
	for _, s := range t.Spans {
		if !present[s.Parent] {
			place(s, 0)
		}
	}
	return out
}
