// Package check looks at a data directory that no broker runs on: it verifies every
// file, says what a start would make of it, and repairs what a start refuses.
//
// A repair says first what would be lost. It keeps what it replaces beside it, under
// names that end in .damaged.
package check

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"text/tabwriter"

	"github.com/quokka-stream/quokka/broker/internal/cluster"
	"github.com/quokka-stream/quokka/broker/internal/clusterlog"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Report is what was found in a data directory.
type Report struct {
	Dir        string
	ClusterID  string
	Cluster    *clusterlog.Contents
	Folds      error // why the whole frames of the cluster log do not make a cluster
	Journal    commitlog.JournalContents
	Partitions []Partition
	// Unknown are directories of no topic in the cluster log. A start removes them.
	Unknown []string
}

// Partition is what was found of one.
type Partition struct {
	Name, Dir string
	commitlog.Inspection
	Err error // it could not be read, or belongs to another topic
}

// Directory reads everything in dir and changes nothing.
func Directory(fs fsys.FS, dir string) (*Report, error) {
	r := &Report{Dir: dir}
	var err error
	if r.Cluster, err = clusterlog.Inspect(fs, dir); err != nil {
		if errors.Is(err, fsys.ErrNotExist) {
			return nil, fmt.Errorf("%s is no broker's data directory: it has no cluster.log", dir)
		}
		return nil, err
	}
	img, err := r.fold()
	if err != nil {
		r.Folds = err
	}
	if r.Journal, err = commitlog.ReadJournal(fs, dir); err != nil {
		return nil, err
	}
	return r, r.partitions(fs, img)
}

// fold makes the cluster of the records that are whole; nil if that cannot be done.
func (r *Report) fold() (*cluster.Image, error) {
	c, err := cluster.Open(discard{}, r.Cluster.Records)
	if err != nil {
		return nil, err
	}
	r.ClusterID = c.Image().ClusterID
	return c.Image(), nil
}

// discard is a cluster log that keeps nothing.
type discard struct{}

func (discard) Append(...[]byte) error   { return nil }
func (discard) Replace(_ [][]byte) error { return nil }

func (r *Report) partitions(fs fsys.FS, img *cluster.Image) error {
	topics := path.Join(r.Dir, "topics")
	entries, err := fs.ReadDir(topics)
	if errors.Is(err, fsys.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	ids := map[string]cluster.ID{}
	if img != nil {
		for _, t := range img.Topics() {
			for i := range t.Partitions() {
				ids[t.Name+"-"+strconv.Itoa(int(i))] = t.ID
			}
		}
	}
	for _, e := range entries {
		if !e.Dir || commitlog.IsLeftover(e.Name) {
			continue
		}
		p := Partition{Name: e.Name, Dir: path.Join(topics, e.Name)}
		want, known := ids[e.Name]
		if img != nil && !known {
			r.Unknown = append(r.Unknown, p.Dir)
			continue
		}
		id, err := commitlog.Identity(fs, p.Dir)
		switch {
		case errors.Is(err, fsys.ErrNotExist): // a crash came first; a start writes it
		case err != nil:
			p.Err = err
		case known && id != want:
			p.Err = fmt.Errorf("it belongs to topic id %s, the cluster log says %s", cluster.ID(id), want)
		}
		if p.Err == nil {
			p.Inspection, p.Err = commitlog.Inspect(fs, p.Dir, &r.Journal)
		}
		r.Partitions = append(r.Partitions, p)
	}
	return nil
}

// Damaged says whether a start would refuse something.
func (r *Report) Damaged() bool {
	return r.clusterDamaged() || r.Journal.Damage != nil || slices.ContainsFunc(r.Partitions, func(p Partition) bool { return p.damaged() })
}

func (r *Report) clusterDamaged() bool { return r.Cluster.Damaged() || r.Folds != nil }

func (p *Partition) damaged() bool {
	s, ok := p.Worst()
	return p.Err != nil || (ok && s == commitlog.Damage)
}

// state is a word or two for the table.
func (p *Partition) state() string {
	s, ok := p.Worst()
	switch {
	case p.Err != nil:
		return "UNREADABLE"
	case !ok:
		return "ok"
	case s == commitlog.Damage:
		return "DAMAGED"
	case s == commitlog.Derived:
		return "ok, files to build again"
	}
	return "ok, a torn end to cut off"
}

// Write prints the report as a table, and each finding below it.
func (r *Report) Write(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "data directory %s, cluster %s\n\n", r.Dir, r.ClusterID)
	fmt.Fprintf(t, "what\tsegments\tbytes\tbatches\toffsets\tstate\n")
	state := "ok"
	switch {
	case r.clusterDamaged():
		state = "DAMAGED"
	case len(r.Cluster.Holes) > 0:
		state = "ok, a torn end to cut off"
	}
	fmt.Fprintf(t, "cluster.log\t\t\t%d\t\t%s\n", len(r.Cluster.Records), state)
	state = "ok"
	if r.Journal.Damage != nil {
		state = "DAMAGED"
	}
	fmt.Fprintf(t, "journal\t\t\t%d\t\t%s\n", r.Journal.Records, state)
	for i := range r.Partitions {
		p := &r.Partitions[i]
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d–%d\t%s\n", p.Name, p.Segments, p.Bytes, p.Batches, p.Start, p.End, p.state())
	}
	_ = t.Flush() // w is a terminal or a buffer; who has gone needs no report
	fmt.Fprintln(w)
	r.writeCluster(w)
	if d := r.Journal.Damage; d != nil {
		fmt.Fprintf(w, "DAMAGED  %s, byte %d: %v\n", d.File, d.Pos, d.Err)
	}
	for i := range r.Partitions {
		r.Partitions[i].write(w)
	}
	for _, dir := range r.Unknown {
		fmt.Fprintf(w, "unknown  %s: no topic of the cluster log; a start removes it\n", dir)
	}
	if r.Damaged() {
		fmt.Fprintf(w, "\nA start refuses what is damaged and serves the rest, but for cluster.log and the journal, without which it does not start. "+
			"Restore the files from a copy, or run \"broker repair --data-dir %s\", which says what would be lost before it changes anything.\n", r.Dir)
		return
	}
	fmt.Fprintln(w, "nothing is damaged")
}

func (r *Report) writeCluster(w io.Writer) {
	for _, h := range r.Cluster.Holes {
		word := "DAMAGED "
		if h.Torn {
			word = "torn    "
		}
		fmt.Fprintf(w, "%s %s, byte %d: %d bytes are no whole frame\n", word, r.Cluster.File, h.Pos, h.Bytes)
	}
	if r.Folds != nil {
		fmt.Fprintf(w, "DAMAGED  %s: its whole frames do not make a cluster: %v\n", r.Cluster.File, r.Folds)
	}
}

var words = map[commitlog.Severity]string{commitlog.Torn: "torn    ", commitlog.Derived: "derived ", commitlog.Damage: "DAMAGED "}

func (p *Partition) write(w io.Writer) {
	if p.Err != nil {
		fmt.Fprintf(w, "DAMAGED  %s: %v\n", p.Dir, p.Err)
	}
	for _, f := range p.Findings {
		fmt.Fprintf(w, "%s %s, byte %d: %s\n", words[f.Severity], f.File, f.Pos, f.Text)
	}
}

// DataDir returns the data directory that a file belongs to, as a message names it.
func DataDir(fs fsys.FS, file string) (string, bool) {
	for dir := path.Dir(path.Clean(file)); ; dir = path.Dir(dir) {
		if _, err := fs.Stat(path.Join(dir, "cluster.log")); err == nil {
			return dir, true
		}
		if dir == path.Dir(dir) {
			return "", false
		}
	}
}
