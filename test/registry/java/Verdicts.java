import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.apache.avro.SchemaCompatibility;

/**
 * The reference implementation's verdicts. Reads lines of a reader and a writer with a tab between them. Writes for each
 * line, with tabs between them: both schemas as Java's Avro writes them, then the places and kinds of what is
 * incompatible; or "invalid" and why; or "throws" and why.
 */
public class Verdicts {
  public static void main(String[] args) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    StringBuilder out = new StringBuilder();
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      String[] pair = line.split("\t");
      out.append(verdict(pair[0], pair[1]).replace('\n', ' ')).append('\n');
    }
    System.out.write(out.toString().getBytes(StandardCharsets.UTF_8));
    System.out.flush();
  }

  static String verdict(String readerText, String writerText) {
    Schema reader;
    Schema writer;
    try {
      reader = new Schema.Parser().parse(readerText);
      writer = new Schema.Parser().parse(writerText);
    } catch (Exception e) {
      return "invalid\t" + e.getMessage();
    }
    try {
      String reasons =
          SchemaCompatibility.checkReaderWriterCompatibility(reader, writer).getResult().getIncompatibilities().stream()
              .map(each -> each.getType() + " " + each.getLocation() + " " + each.getMessage())
              .collect(Collectors.joining(";"));
      return reader + "\t" + writer + "\t" + reasons;
    } catch (RuntimeException e) {
      return "throws\t" + e.getMessage();
    }
  }
}
