import com.google.api.client.http.GenericUrl;
import com.google.api.client.http.HttpRequestFactory;
import com.google.api.client.http.HttpResponseException;
import com.google.api.client.http.javanet.NetHttpTransport;
import com.google.auth.http.HttpCredentialsAdapter;
import com.google.auth.oauth2.GoogleCredentials;
import java.net.URLEncoder;
import java.nio.charset.StandardCharsets;
import java.util.Scanner;

/**
 * Reads an object for each BUCKET/NAME that it is given in a line, with google-auth-library
 * and application default credentials. It answers in a line: the status and the text, or why
 * not.
 */
public class Probe {
  public static void main(String[] args) {
    HttpRequestFactory requests = null;
    for (Scanner lines = new Scanner(System.in); lines.hasNextLine(); ) {
      String[] object = lines.nextLine().split("/", 2);
      String answer;
      try {
        if (requests == null) {
          GoogleCredentials credentials =
              GoogleCredentials.getApplicationDefault()
                  .createScoped("https://www.googleapis.com/auth/cloud-platform");
          requests =
              new NetHttpTransport().createRequestFactory(new HttpCredentialsAdapter(credentials));
        }
        String name = URLEncoder.encode(object[1], StandardCharsets.UTF_8);
        GenericUrl url = new GenericUrl("https://storage.googleapis.com/storage/v1/b/" + object[0] + "/o/", true);
        url = new GenericUrl(url.build() + name + "?alt=media", true);
        answer = "200 " + requests.buildGetRequest(url).execute().parseAsString();
      } catch (HttpResponseException e) {
        answer = e.getStatusCode() + " " + e.getContent();
      } catch (Exception e) {
        answer = "failed: " + e + ": " + e.getCause();
      }
      System.out.println(answer.replaceAll("\\s+", " "));
    }
  }
}
