package checker

import (
	"maps"
	"slices"
)

// indexAgrees: each document says what its row says.
func (c *check) indexAgrees() {
	for _, d := range c.Documents {
		subject := d.Kind + " " + d.ID
		switch {
		case d.Got == nil && d.Want != nil:
			c.found.add(Index, subject, "has a row but no document")
		case d.Got != nil && d.Want == nil:
			c.found.add(Index, subject, "has a document but no row")
		default:
			for _, field := range slices.Sorted(maps.Keys(d.Want)) {
				if d.Got[field] != d.Want[field] {
					c.found.add(Index, subject, "%s is %q in the index, %q in the table", field, d.Got[field], d.Want[field])
				}
			}
		}
	}
	for _, total := range c.Indexed {
		if total.Documents != total.Rows {
			c.found.add(Index, "all "+total.Kind, "%d documents for %d rows", total.Documents, total.Rows)
		}
	}
}
