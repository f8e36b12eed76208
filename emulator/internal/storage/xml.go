package storage

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/taskiam/taskiam/emulator/internal/wire"
)

// xmlMethods are those of the XML API: what Google's Go client reads objects with, and what requests are for that a key
// of an account has signed.
func xmlMethods() []wire.Method {
	at := func(id, pattern string, serve func(*wire.Call) (any, error)) wire.Method {
		return wire.Method{ID: id, Host: host, Pattern: pattern, Colons: true, Open: true, Bearer: signer,
			Refuse: xmlRefusal, Serve: inXML(serve)}
	}
	put := at("storage.objects.insert", "PUT /{bucket}/{object...}", putObject)
	put.Writes, put.Large = true, true
	remove := at("storage.objects.delete", "DELETE /{bucket}/{object...}", removeObject)
	remove.Writes = true
	return []wire.Method{
		at("storage.objects.get", "GET /{bucket}/{object...}", readObject),
		at("storage.objects.get", "HEAD /{bucket}/{object...}", readObject),
		put, remove,
		at("storage.objects.list", "GET /{bucket}", listBucket),
		at("storage.objects.list", "GET /{bucket}/", listBucket),
	}
}

// inXML is a method of the XML API, whose paths are those of any other API too: what names no bucket was meant for
// something that is not here.
func inXML(serve func(*wire.Call) (any, error)) func(*wire.Call) (any, error) {
	return func(c *wire.Call) (any, error) {
		if host := c.Host(); stateOf(c.State()).Buckets[c.Vars["bucket"]] == nil &&
			(host == "" || slices.Contains([]string{"storage", "download", "upload", "resumable", "batch"},
				c.Vars["bucket"])) {
			return nil, c.Unsupported("path " + c.Request.URL.Path)
		}
		v, err := serve(c)
		if err == nil {
			return v, nil
		}
		e := wire.ErrorOf(err)
		if e.Code == http.StatusUnauthorized { // to say it once more with a login is no use, says the XML API
			e.Code = http.StatusForbidden
		}
		return xmlRefusal(e)
	}
}

// findVirtualHost finds a method by the name that the XML API has for each bucket: BUCKET.storage.googleapis.com.
func findVirtualHost(at, verb, path string, _ *wire.Method) (*wire.Method, map[string]string) {
	bucket, ok := strings.CutSuffix(at, "."+host)
	object, err := url.PathUnescape(strings.TrimPrefix(path, "/"))
	if !ok || err != nil {
		return nil, nil
	}
	want := verb + " /{bucket}/{object...}"
	if object == "" {
		want = verb + " /{bucket}"
	}
	methods := xmlMethods()
	i := slices.IndexFunc(methods, func(m wire.Method) bool { return m.Pattern == want })
	if i < 0 {
		return nil, nil
	}
	return &methods[i], map[string]string{"bucket": bucket, "object": object}
}

// readObject is the XML API's read of an object. A signed URL may say what the answer's headers are.
func readObject(c *wire.Call) (any, error) {
	_, o, err := findObject(c, "storage.objects.get")
	if err != nil {
		return nil, err
	}
	a := mediaAnswer(c.Request, o)
	for _, name := range []string{"Content-Type", "Content-Disposition"} {
		if value := c.Query("response-" + strings.ToLower(name)); value != "" && !c.Caller.Anonymous {
			a.Header.Set(name, value)
		}
	}
	return a, nil
}

// putObject is the XML API's upload of an object at once.
func putObject(c *wire.Call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	h := c.Request.Header
	if h.Get("X-Goog-Copy-Source") != "" || h.Get("X-Goog-Acl") != "" || h.Get("X-Amz-Copy-Source") != "" {
		return nil, c.Unsupported("copies and access control lists by the XML API")
	}
	q := url.Values{}
	for header, parameter := range map[string]string{
		"X-Goog-If-Generation-Match": "ifGenerationMatch", "X-Goog-If-Metageneration-Match": "ifMetagenerationMatch",
	} {
		if v := h.Get(header); v != "" {
			q.Set(parameter, v)
		}
	}
	o := object{Name: c.Vars["object"], Content: c.Content, ContentType: h.Get("Content-Type"),
		ContentEncoding: h.Get("Content-Encoding"), ContentLanguage: h.Get("Content-Language"),
		ContentDisposition: h.Get("Content-Disposition"), CacheControl: h.Get("Cache-Control"),
		StorageClass: h.Get("X-Goog-Storage-Class")}
	for name := range h {
		for _, prefix := range []string{"X-Goog-Meta-", "X-Amz-Meta-"} {
			if key, ok := strings.CutPrefix(name, prefix); ok {
				if o.Metadata == nil {
					o.Metadata = map[string]string{}
				}
				o.Metadata[strings.ToLower(key)] = h.Get(name)
			}
		}
	}
	if err := mayStore(c, b, n, o.Name, q); err != nil {
		return nil, err
	}
	want := checks{MD5Hash: h.Get("Content-Md5")}
	want.override(h.Get("X-Goog-Hash"))
	if _, err := storeObject(c, b, o, want); err != nil {
		return nil, err
	}
	a := mediaAnswer(&http.Request{Header: http.Header{}}, b.Objects[o.Name])
	return &wire.Raw{Header: http.Header{"Etag": {`"` + hexMD5(b.Objects[o.Name]) + `"`},
		"X-Goog-Hash": a.Header["X-Goog-Hash"], "X-Goog-Generation": a.Header["X-Goog-Generation"],
		"X-Goog-Metageneration": a.Header["X-Goog-Metageneration"]}}, nil
}

func removeObject(c *wire.Call) (any, error) { return deleteObject(c) }

// listBucket is the XML API's list of a bucket, in either of its versions.
func listBucket(c *wire.Call) (any, error) {
	b, n, err := findBucket(c)
	if err != nil {
		return nil, err
	}
	q := c.Request.URL.Query()
	for _, other := range []string{"acl", "cors", "lifecycle", "location", "logging", "policy", "uploads", "versioning",
		"website"} {
		if q.Has(other) {
			return nil, c.Unsupported(other + " of a bucket by the XML API")
		}
	}
	prefix, delimiter := q.Get("prefix"), q.Get("delimiter")
	if err := mayList(c, n, prefix); err != nil {
		return nil, err
	}
	l := bucketList{Name: b.Name, Prefix: prefix, Delimiter: delimiter}
	most := 1000
	if text := q.Get("max-keys"); text != "" {
		if most, err = strconv.Atoi(text); err != nil || most < 0 || most > 1000 {
			return nil, wire.Invalid("Invalid max-keys: %q", text)
		}
	}
	if q.Get("list-type") == "2" {
		last, seen := l.fill(b, cmp.Or(q.Get("continuation-token"), q.Get("start-after")), most)
		l.KeyCount = &seen
		if l.IsTruncated {
			l.NextToken = last
		}
		return xmlAnswer(http.StatusOK, l)
	}
	l.Marker = q.Get("marker")
	if last, _ := l.fill(b, l.Marker, most); l.IsTruncated {
		l.NextMarker = last
	}
	return xmlAnswer(http.StatusOK, l)
}

// bucketList is the list of a bucket as the XML API writes it.
type bucketList struct {
	XMLName        xml.Name `xml:"http://doc.s3.amazonaws.com/2006-03-01 ListBucketResult"`
	Name           string
	Prefix         string
	Marker         string `xml:",omitempty"`
	Delimiter      string `xml:",omitempty"`
	NextMarker     string `xml:",omitempty"`
	KeyCount       *int   `xml:",omitempty"`
	NextToken      string `xml:"NextContinuationToken,omitempty"`
	IsTruncated    bool
	Contents       []listedObject
	CommonPrefixes []commonPrefix
}

type listedObject struct {
	Key          string
	Generation   int64
	LastModified string
	ETag         string
	Size         int
}

type commonPrefix struct{ Prefix string }

// fill adds the entries after a name, at most so many, and returns the last of them and how many there are.
func (l *bucketList) fill(b *bucket, after string, most int) (last string, n int) {
	for _, name := range slices.Sorted(maps.Keys(b.Objects)) {
		rest, ok := strings.CutPrefix(name, l.Prefix)
		entry, common := name, false
		if i := strings.Index(rest, l.Delimiter); l.Delimiter != "" && i >= 0 {
			entry, common = l.Prefix+rest[:i+len(l.Delimiter)], true
		}
		if !ok || name <= after || entry <= after || entry == last {
			continue
		}
		if l.IsTruncated = n == most; l.IsTruncated {
			break
		}
		n, last = n+1, entry
		if common {
			l.CommonPrefixes = append(l.CommonPrefixes, commonPrefix{entry})
			continue
		}
		o := b.Objects[name]
		l.Contents = append(l.Contents, listedObject{name, o.Generation, storageTime(o.Created),
			`"` + hexMD5(o) + `"`, o.Content.Len()})
	}
	return last, n
}

// xmlAnswer is an answer of the XML API.
func xmlAnswer(code int, v any) (*wire.Raw, error) {
	body, err := xml.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding an answer: %w", err)
	}
	return &wire.Raw{Code: code, Header: http.Header{"Content-Type": {"application/xml; charset=UTF-8"}},
		Body: append([]byte(xml.Header), body...)}, nil
}
