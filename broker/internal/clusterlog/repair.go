package clusterlog

import (
	"errors"
	"path"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Hole is a place of the log that is no whole frame.
type Hole struct {
	Pos, Bytes int64
	// Torn: nothing whole is behind it, so it was never acknowledged.
	Torn bool
}

// Contents is what a log file holds.
type Contents struct {
	File    string
	Records [][]byte // of whole frames, also of those behind holes
	Holes   []Hole

	data   []byte
	frames [][]byte
}

// Damaged tells whether the log is refused by Open.
func (c *Contents) Damaged() bool { return len(c.Holes) > 0 && !c.Holes[0].Torn }

// Inspect reads the log in dir, and changes nothing.
func Inspect(fs fsys.FS, dir string) (*Contents, error) {
	c := &Contents{File: path.Join(dir, name)}
	f, err := fs.Open(c.File)
	if err != nil {
		return c, err
	}
	defer f.Close()
	data, err := readAll(f, c.File)
	if err != nil {
		return c, err
	}
	c.data = data
	for pos := 0; pos < len(data); {
		body, ok := cut(data[pos:])
		if !ok && lostMark(data, pos) {
			pos += len(mark)
			continue
		}
		if !ok {
			next := findFrame(data, pos+1)
			c.Holes = append(c.Holes, Hole{Pos: int64(pos), Bytes: int64(next - pos), Torn: next == len(data)})
			pos = next
			continue
		}
		c.frames = append(c.frames, data[pos:pos+headerSize+len(body)])
		pos += headerSize + len(body)
		if c.Records, err = split(c.Records, body, c.File, pos); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Repair keeps the whole frames. The file as it was is put aside under a name that
// ends in .damaged.
func Repair(fs fsys.FS, dir string) error {
	c, err := Inspect(fs, dir)
	if err != nil || !c.Damaged() {
		return err
	}
	var all []byte
	for _, f := range c.frames {
		all = append(all, f...)
	}
	if err := write(fs, c.File+".damaged", c.data); err != nil {
		return err
	}
	if err := write(fs, c.File+".new", all); err != nil {
		return err
	}
	if err := fs.Rename(c.File+".new", c.File); err != nil {
		return err
	}
	return fs.SyncDir(dir)
}

func write(fs fsys.FS, name string, data []byte) error {
	f, err := fs.Create(name)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(data, 0); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
