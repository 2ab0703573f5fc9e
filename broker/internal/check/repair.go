package check

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/quokka-stream/quokka/broker/internal/clusterlog"
	"github.com/quokka-stream/quokka/broker/internal/commitlog"
	"github.com/quokka-stream/quokka/broker/internal/datadir"
	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// lostAndFound is where a repair puts partitions of topics that the cluster log has
// lost, so that a start does not remove them.
const lostAndFound = "lost+found"

// Repair says what a repair of the files would lose, all that are damaged if none is
// named, and with apply does it.
func Repair(fs fsys.FS, dir string, files []string, apply bool, w io.Writer, logger *slog.Logger) error {
	r, err := Directory(fs, dir)
	if err != nil {
		return err
	}
	wanted := func(what string) bool {
		return len(files) == 0 || slices.ContainsFunc(files, func(f string) bool {
			f = path.Clean(f)
			return f == what || strings.HasPrefix(f, what+"/") || f == path.Base(what) || (what == path.Join(dir, "journal") && strings.HasPrefix(path.Base(f), "journal."))
		})
	}
	doCluster := r.clusterDamaged() && wanted(r.Cluster.File)
	doJournal := r.Journal.Damage != nil && wanted(path.Join(dir, "journal"))
	var logs []*Partition
	for i := range r.Partitions {
		if p := &r.Partitions[i]; p.damaged() && wanted(p.Dir) {
			logs = append(logs, p)
		}
	}
	if !doCluster && !doJournal && len(logs) == 0 {
		fmt.Fprintln(w, "nothing of that is damaged; \"broker check\" reads everything")
		return nil
	}
	if doCluster {
		r.sayCluster(w)
	}
	if doJournal {
		fmt.Fprintf(w, "%s: records of the commit journal are lost from byte %d to the next whole one. Which partitions they were for is not known. "+
			"After a kill of the process nothing is lost, as the partitions' files have them too; after a power cut records at the ends of partitions may be.\n", r.Journal.Damage.File, r.Journal.Damage.Pos)
	}
	for _, p := range logs {
		p.say(w)
	}
	if !apply {
		fmt.Fprintln(w, "\nNothing was changed. With --apply it is done; files that are replaced are kept under names that end in .damaged.")
		return nil
	}
	if err := r.apply(fs, doCluster, doJournal, logs, logger); err != nil {
		return fmt.Errorf("%w; run the repair again, what it has done so far stays", err)
	}
	fmt.Fprintln(w, "\nDone. Remove the files whose names end in .damaged when they are needed no more.")
	return nil
}

func (r *Report) sayCluster(w io.Writer) {
	for _, h := range r.Cluster.Holes {
		fmt.Fprintf(w, "%s: %d bytes at %d are lost: topics, settings, users or access rules that were made, changed or deleted there\n", r.Cluster.File, h.Bytes, h.Pos)
	}
	if r.Folds != nil {
		fmt.Fprintf(w, "%s: what is left does not make a cluster (%v); it is not used, and all partitions are put aside into %s\n", r.Cluster.File, r.Folds, path.Join(r.Dir, lostAndFound))
		return
	}
	img, _ := r.fold()
	fmt.Fprintf(w, "%s: %d topics are left: %s\n", r.Cluster.File, len(img.Topics()), strings.Join(slices.Sorted(maps.Keys(img.Topics())), " "))
	for _, dir := range r.Unknown {
		fmt.Fprintf(w, "%s: its topic is lost; it is moved to %s\n", dir, path.Join(r.Dir, lostAndFound))
	}
}

func (p *Partition) say(w io.Writer) {
	if p.Err != nil {
		fmt.Fprintf(w, "%s: cannot be repaired (%v): move it away, and its topic begins anew\n", p.Name, p.Err)
		return
	}
	for _, f := range p.Findings {
		if f.Severity == commitlog.Damage {
			fmt.Fprintf(w, "%s: lost for good: %s, byte %d: %s\n", p.Name, f.File, f.Pos, f.Text)
		}
	}
	fmt.Fprintf(w, "%s: %d whole batches stay, at their offsets, from %d to %d. A transaction whose end is among what is lost "+
		"is ended by the broker when it opens the partition, as it was decided. A producer whose last batches are lost is taken at any sequence.\n", p.Name, p.Batches, p.Start, p.End)
}

func (r *Report) apply(fs fsys.FS, doCluster, doJournal bool, logs []*Partition, logger *slog.Logger) error {
	if doJournal {
		if err := commitlog.RepairJournal(fs, r.Dir, logger); err != nil {
			return err
		}
	}
	if len(logs) > 0 {
		// What the journal has goes into the logs first, and then out of it.
		c, err := commitlog.NewCommitter(commitlog.CommitterConfig{FS: fs, Dir: r.Dir, JournalBytes: -1, CleanEvery: -1, Logger: logger})
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	var errs []error
	for _, p := range logs {
		if p.Err == nil {
			errs = append(errs, commitlog.Repair(fs, p.Dir, logger))
		}
	}
	if doCluster {
		errs = append(errs, r.repairCluster(fs))
	}
	return errors.Join(errs...)
}

// repairCluster puts the partitions of lost topics aside before the log forgets them.
func (r *Report) repairCluster(fs fsys.FS) error {
	aside := r.Unknown
	if r.Folds != nil {
		for i := range r.Partitions {
			aside = append(aside, r.Partitions[i].Dir)
		}
	}
	if len(aside) > 0 {
		to := path.Join(r.Dir, lostAndFound)
		if err := datadir.Make(fs, to); err != nil {
			return err
		}
		for _, dir := range aside {
			if err := fs.Rename(dir, path.Join(to, path.Base(dir))); err != nil {
				return err
			}
		}
		if err := errors.Join(fs.SyncDir(to), fs.SyncDir(path.Join(r.Dir, "topics"))); err != nil {
			return err
		}
	}
	if r.Folds != nil {
		return errors.Join(fs.Rename(r.Cluster.File, r.Cluster.File+".damaged"), fs.SyncDir(r.Dir))
	}
	return clusterlog.Repair(fs, r.Dir)
}
