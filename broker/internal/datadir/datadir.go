// Package datadir makes directories that a power cut does not take away: a new
// directory's name is durable only once the directory that holds it was synced.
package datadir

import (
	"errors"
	"path"

	"github.com/quokka-stream/quokka/broker/internal/fsys"
)

// Make makes a directory and its missing parents, and makes their names durable.
func Make(fs fsys.FS, dir string) error {
	var missing []string
	for d := path.Clean(dir); ; d = path.Dir(d) {
		if _, err := fs.Stat(d); err == nil || !errors.Is(err, fsys.ErrNotExist) {
			break
		}
		missing = append(missing, d)
		if d == path.Dir(d) {
			break
		}
	}
	if err := fs.MkdirAll(dir); err != nil {
		return err
	}
	for _, d := range missing {
		if err := fs.SyncDir(path.Dir(d)); err != nil {
			return err
		}
	}
	return nil
}
