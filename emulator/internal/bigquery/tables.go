package bigquery

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/iam"
	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// table is a table or a view of a dataset, with its rows as they were inserted.
type table struct {
	ID           string                       `json:"id"`
	FriendlyName string                       `json:"friendlyName,omitempty"`
	Description  string                       `json:"description,omitempty"`
	Labels       map[string]string            `json:"labels,omitempty"`
	Schema       tableSchema                  `json:"schema,omitzero"`
	View         string                       `json:"view,omitempty"` // the query of a view
	Created      time.Time                    `json:"created"`
	Modified     time.Time                    `json:"modified" snapshot:"-"`
	Policy       *iam.Policy                  `json:"policy,omitempty"`
	Rows         []map[string]json.RawMessage `json:"rows,omitempty"`
}

// tableSchema lists the columns of a table, in the form of BigQuery's REST API.
type tableSchema struct {
	Fields []tableField `json:"fields,omitempty"`
}

// tableField is a column, or a field of one that is a record.
type tableField struct {
	Name        string       `json:"name"`
	Type        string       `json:"type"`
	Mode        string       `json:"mode,omitempty"`
	Description string       `json:"description,omitempty"`
	Fields      []tableField `json:"fields,omitempty"`
}

// tableReference names a table.
type tableReference struct {
	ProjectID string `json:"projectId"`
	DatasetID string `json:"datasetId"`
	TableID   string `json:"tableId"`
}

// tableResource is a table as the API writes it.
type tableResource struct {
	Kind         string            `json:"kind"`
	Etag         string            `json:"etag,omitempty"`
	ID           string            `json:"id"`
	SelfLink     string            `json:"selfLink,omitempty"`
	Reference    tableReference    `json:"tableReference"`
	FriendlyName string            `json:"friendlyName,omitempty"`
	Description  string            `json:"description,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
	Schema       *tableSchema      `json:"schema,omitempty"`
	View         *viewDefinition   `json:"view,omitempty"`
	Rows         *int              `json:"numRows,string,omitempty"`
	Bytes        *int              `json:"numBytes,string,omitempty"`
	Created      int64             `json:"creationTime,string"`
	Modified     uint64            `json:"lastModifiedTime,string,omitempty"`
	Type         string            `json:"type"`
	Location     string            `json:"location,omitempty"`
}

type viewDefinition struct {
	Query        string `json:"query,omitempty"`
	UseLegacySQL bool   `json:"useLegacySql"`
}

func (t *table) kind() string {
	if t.View != "" {
		return "VIEW"
	}
	return "TABLE"
}

// columnTypes are the types that a column may have; the newer names and the older ones.
var columnTypes = []string{
	"STRING", "BYTES", "INTEGER", "INT64", "FLOAT", "FLOAT64", "BOOLEAN", "BOOL", "TIMESTAMP", "DATE", "TIME", "DATETIME",
	"GEOGRAPHY", "NUMERIC", "BIGNUMERIC", "JSON", "RECORD", "STRUCT",
}

// check refuses a schema that BigQuery would, and writes types and modes in capitals.
func (s tableSchema) check() error { return checkFields(s.Fields) }

func checkFields(fields []tableField) error {
	seen := map[string]bool{}
	for i := range fields {
		f := &fields[i]
		f.Type, f.Mode = strings.ToUpper(f.Type), strings.ToUpper(f.Mode)
		name := strings.ToLower(f.Name)
		switch {
		case !bigqueryID(f.Name):
			return invalidEntry("Invalid field name %q. Fields must contain only letters, numbers, and underscores.",
				f.Name)
		case seen[name]:
			return invalidEntry("Field %s already exists in schema", f.Name)
		case !slices.Contains(columnTypes, f.Type):
			return invalidEntry("Invalid value for type: %s is not a valid value", f.Type)
		case !slices.Contains([]string{"", "NULLABLE", "REQUIRED", "REPEATED"}, f.Mode):
			return invalidEntry("Invalid value for mode: %s is not a valid value", f.Mode)
		case f.record() != (len(f.Fields) > 0):
			return invalidEntry("Field %s is type %s; only a RECORD has fields, and it needs some.", f.Name, f.Type)
		}
		seen[name] = true
		if err := checkFields(f.Fields); err != nil {
			return err
		}
	}
	return nil
}

func (f tableField) record() bool { return f.Type == "RECORD" || f.Type == "STRUCT" }

// newTable returns a table without rows whose own policy grants nothing to anybody.
func (d *dataset) newTable(id string, now time.Time) *table {
	if d.Tables == nil {
		d.Tables = map[string]*table{}
	}
	t := &table{ID: id, Created: now, Modified: now, Policy: &iam.Policy{}}
	d.Tables[id] = t
	return t
}

func showTable(c *wire.Call, d *dataset, t *table) tableResource {
	bytes := 0
	for _, row := range t.Rows {
		for _, v := range row {
			bytes += len(v)
		}
	}
	r := tableResource{
		Kind: "bigquery#table", Etag: wire.CounterEtag(t.Created.UnixMicro(), t.Modified.UnixMicro()),
		ID:        fmt.Sprintf("%s:%s.%s", d.Project, d.ID, t.ID),
		SelfLink:  c.BaseURL() + "/bigquery/v2/" + d.name() + "/tables/" + t.ID,
		Reference: tableReference{d.Project, d.ID, t.ID}, FriendlyName: t.FriendlyName, Description: t.Description,
		Labels:  t.Labels,
		Created: t.Created.UnixMilli(), Modified: uint64(t.Modified.UnixMilli()), Type: t.kind(), Location: d.Location,
	}
	if len(t.Schema.Fields) > 0 {
		r.Schema = &t.Schema
	}
	if t.View != "" {
		r.View = &viewDefinition{Query: t.View}
	} else {
		rows := len(t.Rows)
		r.Rows, r.Bytes = &rows, &bytes
	}
	return r
}

func insertTable(c *wire.Call) (any, error) {
	d, n, err := findDataset(c)
	if err := c.RequireFound("bigquery.tables.create", n, err); err != nil {
		return nil, err
	}
	var ref tableReference
	var schema tableSchema
	var name, description, kind string
	var labels map[string]string
	var output any
	if err := c.DecodeKnown(c.Body, map[string]any{
		"tableReference": &ref, "schema": &schema, "friendlyName": &name, "description": &description,
		"labels": &labels, "type": &kind,
		"kind": &output, "etag": &output, "id": &output, "selfLink": &output, "location": &output,
	}); err != nil {
		return nil, err
	}
	switch {
	case !bigqueryID(ref.TableID):
		return nil, invalidEntry("Invalid table ID %q.", ref.TableID)
	case kind != "" && kind != "TABLE":
		return nil, c.Unsupported("type " + kind)
	case d.Tables[ref.TableID] != nil:
		return nil, duplicate("Table %s:%s.%s", d.Project, d.ID, ref.TableID)
	}
	if err := schema.check(); err != nil {
		return nil, err
	}
	t := d.newTable(ref.TableID, c.Now)
	t.Schema, t.FriendlyName, t.Description, t.Labels = schema, name, description, labels
	return showTable(c, d, t), nil
}

func getTable(c *wire.Call) (any, error) {
	d, t, n, err := findTable(c)
	if err := c.RequireFound("bigquery.tables.get", n, err); err != nil {
		return nil, err
	}
	return showTable(c, d, t), nil
}

func deleteTable(c *wire.Call) (any, error) {
	d, t, n, err := findTable(c)
	if err := c.RequireFound("bigquery.tables.delete", n, err); err != nil {
		return nil, err
	}
	delete(d.Tables, t.ID)
	return &wire.Raw{Code: http.StatusNoContent}, nil
}

func listTables(c *wire.Call) (any, error) {
	d, n, err := findDataset(c)
	if err := c.RequireFound("bigquery.tables.list", n, err); err != nil {
		return nil, err
	}
	ids, next, err := c.Page(wire.NamesBelow(d.Tables, ""), "maxResults", 1000)
	if err != nil {
		return nil, err
	}
	out := struct {
		Kind   string          `json:"kind"`
		Tables []tableResource `json:"tables,omitempty"`
		Next   string          `json:"nextPageToken,omitempty"`
		Total  int             `json:"totalItems"`
	}{Kind: "bigquery#tableList", Next: next, Total: len(d.Tables)}
	for _, id := range ids {
		t := d.Tables[id]
		r := tableResource{
			Kind: "bigquery#table", ID: fmt.Sprintf("%s:%s.%s", d.Project, d.ID, id),
			Reference:    tableReference{d.Project, d.ID, id},
			FriendlyName: t.FriendlyName, Labels: t.Labels, Created: t.Created.UnixMilli(), Type: t.kind(),
		}
		if t.View != "" {
			r.View = &viewDefinition{}
		}
		out.Tables = append(out.Tables, r)
	}
	return out, nil
}

// noRows is the answer to a request for the rows of a view: only a query could make them.
func (t *table) noRows(verb string) error {
	return wire.Fail(http.StatusBadRequest, "INVALID_ARGUMENT", "invalid", "Cannot %s a table of type %s.", verb,
		t.kind())
}
