package cdc

import "testing"

// TestChanges: the life of rows, as records.
func TestChanges(t *testing.T) {
	b := newBed(t, "CREATE TABLE items (id int PRIMARY KEY, name text)", "INSERT INTO items VALUES (1, 'before'), (2, NULL)")
	r := b.start()
	r.is(Streaming)
	b.exec(
		"INSERT INTO items VALUES (3, 'new')",
		"UPDATE items SET name = 'changed' WHERE id = 1",
		"DELETE FROM items WHERE id = 2",
		"UPDATE items SET id = 30 WHERE id = 3",
	)
	b.caughtUp()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	want := `r {id=1} after {id=1 name=before}
r {id=2} after {id=2 name=<nil>}
c {id=3} after {id=3 name=new}
u {id=1} after {id=1 name=changed}
d {id=2} before {id=2 name=<nil>}
tombstone {id=2}
d {id=3} before {id=3 name=<nil>}
tombstone {id=3}
c {id=30} after {id=30 name=new}
`
	if got := briefs(b.records("items")); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
