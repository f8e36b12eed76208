package credentials

import (
	"fmt"
	"os"
	"strings"

	"github.com/taskiam/taskiam/internal/delivery"
)

// Environ returns the variables as NAME=value, for a process that is started now. It reads
// the values that are in files.
func Environ(vars []delivery.Var) ([]string, error) {
	var out []string
	for _, v := range vars {
		value := v.Value
		if v.File != "" {
			b, err := os.ReadFile(v.File)
			if err != nil {
				return nil, fmt.Errorf("reading the value of %s: %w", v.Name, err)
			}
			value = strings.TrimSpace(string(b))
		}
		out = append(out, v.Name+"="+value)
	}
	return out, nil
}
