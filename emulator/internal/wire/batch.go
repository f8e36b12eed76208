package wire

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// The bounds of a batch (storage/docs/batch).
const (
	maxBatch     = 10 << 20
	maxBatchPart = 100
)

// batchPart is one call of a batch, as it came.
type batchPart struct {
	header textproto.MIMEHeader
	body   []byte
}

// batch serves a request that holds several calls, if it is one. Each of them is a call like any other: it is
// authenticated, decided, counted and logged by itself, and what becomes of one is nothing to the others.
func (s *Server) batch(w http.ResponseWriter, r *http.Request, host string) bool {
	i := slices.IndexFunc(s.state.services, func(sv *Service) bool {
		return sv.Batch != "" && sv.Batch == r.URL.Path && (host == "" || host == sv.Name)
	})
	if i < 0 || r.Method != http.MethodPost {
		return false
	}
	at := s.state.services[i].Name
	parts, err := readBatch(w, r)
	if err != nil {
		s.answerError(w, r, at, Invalid("Reading the batch request: %v", err))
		return true
	}
	if !s.roundTrip(r.Context()) {
		return true // the client has gone
	}
	var body bytes.Buffer
	out := multipart.NewWriter(&body)
	boundary := "batch_" + rand.Text()
	err = out.SetBoundary(boundary)
	for _, part := range parts {
		if err != nil {
			break
		}
		answer := &memoryAnswer{header: http.Header{}}
		if inner, refusal := s.batched(r, part, at); refusal != nil {
			s.answerError(answer, r, at, refusal)
		} else {
			s.record(inner, s.respond(answer, inner))
		}
		if answer.code == 0 {
			return true // the client has gone
		}
		err = answer.writePart(out, part.header.Get("Content-Id"))
	}
	if err = errors.Join(err, out.Close()); err != nil {
		s.answerError(w, r, at, fmt.Errorf("encoding the answer of a batch: %w", err))
		return true
	}
	s.write(w, http.StatusOK, http.Header{"Content-Type": {"multipart/mixed; boundary=" + boundary}}, body.Bytes())
	return true
}

// readBatch takes a batch apart.
func readBatch(w http.ResponseWriter, r *http.Request) ([]batchPart, error) {
	kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" || parameters["boundary"] == "" {
		return nil, errors.New("its Content-Type has to be multipart/mixed with a boundary")
	}
	var parts []batchPart
	in := multipart.NewReader(http.MaxBytesReader(w, r.Body, maxBatch), parameters["boundary"])
	for {
		part, err := in.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(part)
		if err != nil {
			return nil, err
		}
		if parts = append(parts, batchPart{part.Header, body}); len(parts) > maxBatchPart {
			return nil, fmt.Errorf("it has more than %d calls", maxBatchPart)
		}
	}
	if len(parts) == 0 {
		return nil, errors.New("it has no calls")
	}
	return parts, nil
}

// batched returns a part of a batch to the service at host as a call. It has the headers of the batch, but for those
// of its content, and its own take their place.
func (s *Server) batched(batch *http.Request, part batchPart, host string) (*Call, *Error) {
	in := bufio.NewReader(bytes.NewReader(part.body))
	line, _ := in.ReadString('\n')
	if line = strings.TrimSpace(line); !strings.Contains(line, " HTTP/") {
		line += " HTTP/1.1"
	}
	r, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(line+"\r\n"), in)))
	if kind, _, _ := mime.ParseMediaType(part.header.Get("Content-Type")); err != nil || kind != "application/http" {
		return nil, Invalid("A part of a batch has to be an HTTP request, of type application/http.")
	}
	_, content, found := bytes.Cut(part.body, []byte("\r\n\r\n"))
	if !found {
		_, content, _ = bytes.Cut(part.body, []byte("\n\n"))
	}
	if n := r.ContentLength; n > 0 && n < int64(len(content)) {
		content = content[:n]
	}
	header := http.Header{}
	for name, values := range batch.Header {
		if !strings.HasPrefix(name, "Content-") && name != "Transfer-Encoding" {
			header[name] = values
		}
	}
	maps.Copy(header, r.Header)
	u := *r.URL
	if named, known := s.Host(u.Host); u.Host != "" && u.Host != requestHost(batch) && (!known || named != host) {
		return nil, Invalid("A call of a batch has to go to %s.", host)
	}
	u.Scheme, u.Host = batch.URL.Scheme, batch.URL.Host
	inner := batch.Clone(batch.Context())
	inner.Method, inner.URL, inner.RequestURI, inner.Header = r.Method, &u, u.RequestURI(), header
	inner.Body, inner.ContentLength = http.NoBody, int64(len(content))
	m, vars := s.find(inner, host)
	if m.Large || m.CatchAll() || u.Query().Get("alt") == "media" || strings.HasPrefix(u.Path, "/download/") {
		return nil, Invalid("A batch takes calls of the JSON API, and neither uploads nor downloads.")
	}
	return &Call{server: s, Method: m, Request: inner, Body: content, Vars: vars, Now: s.Now()}, nil
}

// writePart writes an answer as the part of a batch's that belongs to the call with that Content-ID.
func (w *memoryAnswer) writePart(out *multipart.Writer, id string) error {
	header := textproto.MIMEHeader{"Content-Type": {"application/http"}}
	if id != "" {
		bare, bracket := strings.CutPrefix(id, "<")
		id = "response-" + bare
		if bracket {
			id = "<" + id
		}
		header["Content-ID"] = []string{id}
	}
	part, err := out.CreatePart(header)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(part, "HTTP/1.1 %d %s\r\n", w.code, http.StatusText(w.code)); err != nil {
		return err
	}
	if err := w.header.Write(part); err != nil {
		return err
	}
	_, err = fmt.Fprintf(part, "\r\n%s", w.body.Bytes())
	return err
}
