package wire

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// dataFile is what --data holds. Version tells later forms apart.
type dataFile struct {
	Version int    `json:"version"`
	State   *State `json:"state"`
}

const dataVersion = 1

// load reads the data file and reports whether there was one.
func (s *Server) load() (bool, error) {
	if s.cfg.DataFile == "" {
		return false, nil
	}
	raw, err := os.ReadFile(s.cfg.DataFile)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the emulator's data: %w", err)
	}
	d := dataFile{State: s.state}
	if err := json.Unmarshal(raw, &d); err != nil {
		return false, fmt.Errorf("reading the emulator's data %s: %w", s.cfg.DataFile, err)
	}
	if d.Version != dataVersion {
		return false, fmt.Errorf("reading the emulator's data %s: version %d is not known, only %d", s.cfg.DataFile,
			d.Version, dataVersion)
	}
	return true, nil
}

// save writes the data file, whole or not at all. The caller holds the lock.
func (s *Server) save() error {
	if s.cfg.DataFile == "" {
		return nil
	}
	raw, err := json.Marshal(dataFile{dataVersion, s.state})
	if err != nil {
		return fmt.Errorf("encoding the emulator's data: %w", err)
	}
	if err := WriteFile(s.cfg.DataFile, raw); err != nil {
		return fmt.Errorf("writing the emulator's data: %w", err)
	}
	return nil
}
