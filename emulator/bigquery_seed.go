package emulator

import (
	"encoding/json"
	"fmt"
	"slices"
)

// seedBigquery makes the datasets of a seed, with their tables and rows.
func (s *Server) seedBigquery(datasets []seedDataset) error {
	for _, in := range datasets {
		if err := s.seedDataset(in); err != nil {
			return fmt.Errorf("seeding dataset %s:%s: %w", in.Project, in.Name, err)
		}
	}
	return nil
}

func (s *Server) seedDataset(in seedDataset) error {
	if s.state.Projects[in.Project] == nil {
		return fmt.Errorf("there is no project %q", in.Project)
	}
	d := &dataset{Project: in.Project, ID: in.Name, Access: defaultAccess("", in.Project)}
	if s.state.BigQuery.Datasets[d.name()] != nil || !bigqueryID(in.Name) {
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
	if err := s.state.checkPolicy(d.policy(), datasetOptions); err != nil {
		return err
	}
	made := s.state.BigQuery.newDataset(in.Project, in.Name, in.Location, d.Access, s.now())
	for _, t := range in.Tables {
		if err := s.seedTable(made, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return nil
}

func (s *Server) seedTable(d *dataset, in seedTable) error {
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
	t := d.newTable(in.Name, s.now())
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
	return s.seedPolicy(t.Policy, in.Bindings, writeOptions{public: true, service: "bigquery.tables."})
}
