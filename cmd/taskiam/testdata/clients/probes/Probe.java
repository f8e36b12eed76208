import com.google.api.client.http.GenericUrl;
import com.google.api.client.http.HttpRequestFactory;
import com.google.api.client.http.HttpResponseException;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.auth.http.HttpCredentialsAdapter;
import com.google.auth.oauth2.GoogleCredentials;
import com.google.auth.oauth2.IdTokenCredentials;
import com.google.auth.oauth2.IdTokenProvider;
import java.net.SocketException;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Scanner;

/**
 * Asks for what each line names, with google-auth-library and application default credentials, and answers each in a
 * line. The first word says what the answer is, by the code and the type of the error; "ok" is what was asked for. With
 * the argument idtoken it asks for identity tokens.
 */
public class Probe {
  static HttpRequestFactory requests = null;

  public static void main(String[] args) {
    boolean identity = args.length > 0 && args[0].equals("idtoken");
    for (Scanner lines = new Scanner(System.in); lines.hasNextLine(); ) {
      String what = lines.nextLine();
      String answer;
      try {
        answer = "ok " + (identity ? identity(what) : read(what));
      } catch (Exception e) {
        // The library takes the answer of a server that has no identity token for a token.
        boolean none = identity && e instanceof IllegalArgumentException;
        answer = (none ? "absent" : kind(e)) + " " + e + ": " + e.getCause();
      }
      System.out.println(answer.replaceAll("\\s+", " "));
    }
  }

  static String read(String what) throws Exception {
    String[] object = what.split("/", 2);
    if (requests == null) {
      GoogleCredentials credentials =
          GoogleCredentials.getApplicationDefault().createScoped("https://www.googleapis.com/auth/cloud-platform");
      requests = new NetHttpTransport().createRequestFactory(new HttpCredentialsAdapter(credentials));
    }
    String name = URLEncoder.encode(object[1], StandardCharsets.UTF_8);
    GenericUrl url = new GenericUrl("https://storage.googleapis.com/storage/v1/b/" + object[0] + "/o/", true);
    url = new GenericUrl(url.build() + name + "?alt=media", true);
    return requests.buildGetRequest(url).execute().parseAsString();
  }

  static String identity(String audience) throws Exception {
    GoogleCredentials credentials = GoogleCredentials.getApplicationDefault();
    if (!(credentials instanceof IdTokenProvider)) {
      throw new UnsupportedOperationException(credentials.getClass().getSimpleName() + " makes no identity tokens");
    }
    return IdTokenCredentials.newBuilder()
        .setIdTokenProvider((IdTokenProvider) credentials)
        .setTargetAudience(audience)
        .build()
        .refreshAccessToken()
        .getTokenValue();
  }

  static String kind(Throwable err) {
    for (Throwable e = err; e != null; e = e.getCause()) {
      if (e instanceof HttpResponseException) {
        HttpResponseException answer = (HttpResponseException) e;
        String body = String.valueOf(answer.getContent());
        if (body.contains("\"invalid_grant\"")) {
          return "invalid_grant";
        }
        switch (answer.getStatusCode()) {
          case 403:
            return "denied " + (body.contains("\"forbidden\"") ? "forbidden" : "");
          case 401:
            return "unauthenticated";
        }
      }
      if (e instanceof SocketException) {
        return "unreachable";
      }
    }
    return "failed";
  }
}
