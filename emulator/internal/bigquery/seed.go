package bigquery

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

func seed() (any, func(*wire.Seeding) error) {
	var in struct {
		Datasets []seedDataset `toml:"dataset"`
	}
	return &in, func(s *wire.Seeding) error { return seedDatasets(s, in.Datasets) }
}

// seedDatasets makes the datasets of a seed, with their tables and rows.
func seedDatasets(s *wire.Seeding, datasets []seedDataset) error {
	for _, in := range datasets {
		if err := seedDatasetTable(s, in); err != nil {
			return fmt.Errorf("seeding dataset %s:%s: %w", in.Project, in.Name, err)
		}
	}
	return nil
}

func seedDatasetTable(s *wire.Seeding, in seedDataset) error {
	if s.Projects[in.Project] == nil {
		return fmt.Errorf("there is no project %q", in.Project)
	}
	d := &dataset{Project: in.Project, ID: in.Name, Access: defaultAccess("", in.Project)}
	if stateOf(s.State).Datasets[d.name()] != nil || !bigqueryID(in.Name) {
		return fmt.Errorf("the name is taken or malformed")
	}
	var entries []json.RawMessage
	for _, e := range in.Access {
		raw, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("reading an access entry: %w", err)
		}
		entries = append(entries, raw)
	}
	access, err := parseAccess(entries, in.Project)
	if err != nil {
		return err
	}
	d.Access = slices.Concat(d.Access, access)
	if err := s.CheckPolicy(d.policy(), datasetOptions); err != nil {
		return err
	}
	made := stateOf(s.State).newDataset(in.Project, in.Name, in.Location, d.Access, s.Now)
	for _, t := range in.Tables {
		if err := seedOneTable(s, made, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return nil
}

func seedOneTable(s *wire.Seeding, d *dataset, in seedTable) error {
	if d.Tables[in.Name] != nil || !bigqueryID(in.Name) {
		return fmt.Errorf("the name is taken or malformed")
	}
	var schema tableSchema
	for _, c := range in.Columns {
		schema.Fields = append(schema.Fields, tableField{Name: c.Name, Type: c.Type, Mode: c.Mode})
	}
	if err := schema.check(); err != nil {
		return err
	}
	t := d.newTable(in.Name, s.Now)
	t.Schema, t.View = schema, in.View
	for i, row := range in.Rows {
		values := map[string]json.RawMessage{}
		for name, v := range row {
			raw, err := json.Marshal(v)
			if err != nil {
				return fmt.Errorf("row %d: %w", i, err)
			}
			values[name] = raw
		}
		clean, bad := checkRow(t.Schema.Fields, values, false)
		if bad != nil {
			return fmt.Errorf("row %d: %s", i, bad.Message)
		}
		t.Rows = append(t.Rows, clean)
	}
	return s.Policy(t.Policy, in.Bindings, iam.WriteOptions{Public: true, Service: "bigquery.tables."})
}

type seedDataset struct {
	Project  string           `toml:"project"`
	Name     string           `toml:"name"`
	Location string           `toml:"location"`
	Access   []map[string]any `toml:"access"` // entries beside the defaults, spelled as in the API
	Tables   []seedTable      `toml:"table"`
}

type seedTable struct {
	Name     string             `toml:"name"`
	View     string             `toml:"view"` // the query; makes the table a view
	Columns  []seedColumn       `toml:"column"`
	Rows     []map[string]any   `toml:"rows"`
	Bindings []wire.SeedBinding `toml:"binding"`
}

type seedColumn struct {
	Name string `toml:"name"`
	Type string `toml:"type"`
	Mode string `toml:"mode"`
}
