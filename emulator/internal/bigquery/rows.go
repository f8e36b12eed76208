package bigquery

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// rowError says why a row was not inserted.
type rowError struct {
	Index  int            `json:"index"`
	Errors []rowErrorInfo `json:"errors"`
}

type rowErrorInfo struct {
	Reason    string `json:"reason"`
	Location  string `json:"location"`
	DebugInfo string `json:"debugInfo"`
	Message   string `json:"message"`
}

// insertRows streams rows into a table. Unless the caller wants to skip invalid rows, one of them stops
// all: that is a 200 with the errors in it.
func insertRows(c *wire.Call) (any, error) {
	d, t, n, err := findTable(c)
	for _, permission := range []string{"bigquery.tables.updateData", "bigquery.tables.get"} {
		if err := c.RequireFound(permission, n, err); err != nil {
			return nil, err
		}
	}
	_, dn, err := findDataset(c)
	if err := c.RequireFound("bigquery.datasets.get", dn, err); err != nil {
		return nil, err
	}
	var rows []struct {
		InsertID string                     `json:"insertId"`
		JSON     map[string]json.RawMessage `json:"json"`
	}
	var skipInvalid, ignoreUnknown bool
	var kind any
	if err := c.DecodeKnown(c.Body, map[string]any{
		"rows": &rows, "skipInvalidRows": &skipInvalid, "ignoreUnknownValues": &ignoreUnknown, "kind": &kind,
	}); err != nil {
		return nil, err
	}
	switch {
	case t.View != "":
		return nil, t.noRows("add rows to")
	case len(rows) == 0:
		return nil, invalidEntry("No rows present in the request.")
	case len(t.Schema.Fields) == 0:
		return nil, invalidEntry("The destination table %s:%s.%s has no schema.", d.Project, d.ID, t.ID)
	}
	good := make([]map[string]json.RawMessage, 0, len(rows))
	failed := map[int]rowErrorInfo{}
	for i, row := range rows {
		clean, bad := checkRow(t.Schema.Fields, row.JSON, ignoreUnknown)
		if bad != nil {
			failed[i] = *bad
			continue
		}
		good = append(good, clean)
	}
	if len(failed) > 0 && !skipInvalid {
		for i := range rows {
			if _, ok := failed[i]; !ok {
				failed[i] = rowErrorInfo{Reason: "stopped"}
			}
		}
		good = nil
	}
	if len(good) > 0 {
		t.Rows = append(t.Rows, good...)
		t.Modified = c.Now
	}
	out := struct {
		Kind   string     `json:"kind"`
		Errors []rowError `json:"insertErrors,omitempty"`
	}{Kind: "bigquery#tableDataInsertAllResponse"}
	for _, i := range slices.Sorted(maps.Keys(failed)) {
		out.Errors = append(out.Errors, rowError{Index: i, Errors: []rowErrorInfo{failed[i]}})
	}
	return out, nil
}

// checkRow holds a row against the columns and returns it with their spelling of the names.
func checkRow(fields []tableField, row map[string]json.RawMessage, ignoreUnknown bool) (map[string]json.RawMessage,
	*rowErrorInfo) {
	clean := map[string]json.RawMessage{}
	for _, name := range slices.Sorted(maps.Keys(row)) {
		i := slices.IndexFunc(fields, func(f tableField) bool { return strings.EqualFold(f.Name, name) })
		if i < 0 {
			if ignoreUnknown {
				continue
			}
			return nil, &rowErrorInfo{Reason: "invalid", Location: name,
				Message: fmt.Sprintf("no such field: %s.", name)}
		}
		if bad := fields[i].checkValue(row[name], ignoreUnknown); bad != nil {
			return nil, bad
		}
		if !isNull(row[name]) {
			clean[fields[i].Name] = row[name]
		}
	}
	for _, f := range fields {
		if f.Mode == "REQUIRED" && clean[f.Name] == nil {
			return nil, &rowErrorInfo{Reason: "invalid", Location: f.Name,
				Message: fmt.Sprintf("Missing required field: %s.", f.Name)}
		}
	}
	return clean, nil
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null" }

func (f tableField) checkValue(raw json.RawMessage, ignoreUnknown bool) *rowErrorInfo {
	bad := func(format string, args ...any) *rowErrorInfo {
		return &rowErrorInfo{Reason: "invalid", Location: f.Name, Message: fmt.Sprintf(format, args...)}
	}
	switch {
	case isNull(raw):
		return nil
	case f.Mode == "REPEATED":
		var items []json.RawMessage
		if err := json.Unmarshal(raw, &items); err != nil {
			return bad("Array specified for non-repeated field or the other way round: %s.", f.Name)
		}
		one := f
		one.Mode = ""
		for _, item := range items {
			if isNull(item) {
				return bad("Only optional fields can be set to NULL. Field: %s", f.Name)
			}
			if e := one.checkValue(item, ignoreUnknown); e != nil {
				return e
			}
		}
		return nil
	case f.record():
		var row map[string]json.RawMessage
		if err := json.Unmarshal(raw, &row); err != nil {
			return bad("This field: %s is not a record.", f.Name)
		}
		_, e := checkRow(f.Fields, row, ignoreUnknown)
		return e
	case f.Type == "JSON":
		return nil
	}
	text, ok := scalar(raw)
	if !ok {
		return bad("Array or record specified for scalar field: %s.", f.Name)
	}
	var err error
	switch f.Type {
	case "INTEGER", "INT64":
		_, err = strconv.ParseInt(text, 10, 64)
	case "FLOAT", "FLOAT64", "NUMERIC", "BIGNUMERIC":
		_, err = strconv.ParseFloat(text, 64)
	case "BOOLEAN", "BOOL":
		_, err = strconv.ParseBool(text)
	case "TIMESTAMP":
		_, err = parseTimestamp(text)
	case "DATE":
		_, err = time.Parse(time.DateOnly, text)
	}
	if err != nil {
		return bad("Cannot convert value to %s (bad value): %s", strings.ToLower(f.Type), text)
	}
	return nil
}

// scalar returns the text of a JSON string, number or boolean.
func scalar(raw json.RawMessage) (string, bool) {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return "", false
	}
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}

// timestampLayouts are the forms in which a timestamp may be inserted, or as seconds since 1970.
var timestampLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999 MST", "2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999", time.DateOnly,
}

func parseTimestamp(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		return time.UnixMicro(int64(seconds * 1e6)), nil
	}
	for _, layout := range timestampLayouts {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("reading timestamp %q: unknown form", text)
}

// cell is a value as tabledata.list writes it: {"v": ...}.
type cell struct {
	Value any `json:"v"`
}

// fieldCells is a row, or a record in one: {"f": [...]}, a cell for each column.
type fieldCells struct {
	Cells []cell `json:"f"`
}

// listRows lists the rows of a table, in the order of their insertion.
func listRows(c *wire.Call) (any, error) {
	_, t, n, err := findTable(c)
	if err := c.RequireFound("bigquery.tables.getData", n, err); err != nil {
		return nil, err
	}
	if t.View != "" {
		return nil, t.noRows("list")
	}
	fields, err := selectFields(t.Schema.Fields, c.Query("selectedFields"))
	if err != nil {
		return nil, err
	}
	from, to, next, err := rowWindow(c, len(t.Rows))
	if err != nil {
		return nil, err
	}
	out := struct {
		Kind  string       `json:"kind"`
		Etag  string       `json:"etag"`
		Total int          `json:"totalRows,string"`
		Rows  []fieldCells `json:"rows,omitempty"`
		Next  string       `json:"pageToken,omitempty"`
	}{Kind: "bigquery#tableDataList", Etag: wire.CounterEtag(t.Created.UnixMicro(),
		t.Modified.UnixMicro()), Total: len(t.Rows), Next: next}
	micros := c.Query("formatOptions.useInt64Timestamp") == "true"
	for _, row := range t.Rows[from:to] {
		out.Rows = append(out.Rows, cells(fields, row, micros))
	}
	return out, nil
}

// rowWindow returns which of total rows the request asks for, and the token of the page after.
func rowWindow(c *wire.Call, total int) (from, to int, next string, err error) {
	if from, err = rowIndex(c, "startIndex", 0); err != nil {
		return 0, 0, "", err
	}
	limit, err := rowIndex(c, "maxResults", total)
	if err != nil {
		return 0, 0, "", err
	}
	if token := c.Query("pageToken"); token != "" {
		key, err := wire.PageKey(token)
		if err != nil {
			return 0, 0, "", err
		}
		if from, err = strconv.Atoi(key); err != nil || from < 0 {
			return 0, 0, "", invalidEntry("Invalid page token: %q", token)
		}
	}
	from = min(from, total)
	to = from + min(limit, total-from)
	if to < total {
		next = wire.PageToken(strconv.Itoa(to))
	}
	return from, to, next, nil
}

// rowIndex reads a query parameter that counts rows.
func rowIndex(c *wire.Call, name string, absent int) (int, error) {
	v := c.Query(name)
	if v == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return 0, invalidEntry("Invalid value for %s: %q", name, v)
	}
	return n, nil
}

// selectFields returns the columns that a comma-separated list names, all if it is empty.
func selectFields(fields []tableField, list string) ([]tableField, error) {
	if list == "" {
		return fields, nil
	}
	var selected []tableField
	names := strings.Split(list, ",")
	for _, name := range names {
		if !slices.ContainsFunc(fields, func(f tableField) bool { return strings.EqualFold(f.Name, name) }) {
			return nil, invalidEntry("No such field: %s", name)
		}
	}
	for _, f := range fields {
		if slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, f.Name) }) {
			selected = append(selected, f)
		}
	}
	return selected, nil
}

func cells(fields []tableField, row map[string]json.RawMessage, micros bool) fieldCells {
	out := fieldCells{Cells: make([]cell, 0, len(fields))}
	for _, f := range fields {
		out.Cells = append(out.Cells, cell{f.value(valueOf(row, f.Name), micros)})
	}
	return out
}

// valueOf returns the value of a field, whatever the case of its name in a record.
func valueOf(row map[string]json.RawMessage, name string) json.RawMessage {
	if raw, ok := row[name]; ok {
		return raw
	}
	for k, raw := range row {
		if strings.EqualFold(k, name) {
			return raw
		}
	}
	return nil
}

// value is what a stored value looks like in an answer. It was checked when it was inserted, so what
// cannot be read does not occur.
func (f tableField) value(raw json.RawMessage, micros bool) any {
	switch {
	case f.Mode == "REPEATED":
		items, one := []json.RawMessage{}, f
		one.Mode = ""
		if !isNull(raw) && json.Unmarshal(raw, &items) != nil {
			return nil
		}
		out := make([]cell, 0, len(items))
		for _, item := range items {
			out = append(out, cell{one.value(item, micros)})
		}
		return out
	case isNull(raw):
		return nil
	case f.record():
		var row map[string]json.RawMessage
		if json.Unmarshal(raw, &row) != nil {
			return nil
		}
		return cells(f.Fields, row, micros)
	case f.Type == "JSON":
		return string(raw)
	}
	text, ok := scalar(raw)
	if !ok {
		return nil
	}
	if f.Type == "TIMESTAMP" {
		t, err := parseTimestamp(text)
		if err != nil {
			return nil
		}
		if micros {
			return strconv.FormatInt(t.UnixMicro(), 10)
		}
		return strconv.FormatFloat(float64(t.UnixMicro())/1e6, 'E', -1, 64)
	}
	return text
}
