/*
 * Reads every view of the schema leadscore by way of pgjdbc: what the driver says of
 * views, columns, types and descriptions, all rows, and prepared statements that
 * compare text columns with strings.
 *
 * usage: java Clients FOLDER
 *
 * FOLDER has what expected.sql wrote.  The server is where PGHOST (a socket's folder),
 * PGPORT, PGDATABASE and PGUSER say.  Prints the lines of a check.
 */
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.math.BigDecimal;
import java.net.Socket;
import java.net.SocketAddress;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.*;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.*;
import javax.net.SocketFactory;

public class Clients {
	/* The driver speaks TCP by itself; the server of a test listens on a socket in a folder. */
	public static class Factory extends SocketFactory {
		private final String path;

		public Factory(String path) {
			this.path = path;
		}

		@Override
		public Socket createSocket() {
			return new UnixSocket(path);
		}

		@Override
		public Socket createSocket(String host, int port) {
			return createSocket();
		}

		@Override
		public Socket createSocket(String host, int port, java.net.InetAddress address, int local) {
			return createSocket();
		}

		@Override
		public Socket createSocket(java.net.InetAddress host, int port) {
			return createSocket();
		}

		@Override
		public Socket createSocket(java.net.InetAddress host, int port, java.net.InetAddress address, int local) {
			return createSocket();
		}
	}

	static class UnixSocket extends Socket {
		private final String path;
		private SocketChannel channel;

		UnixSocket(String path) {
			this.path = path;
		}

		@Override
		public void connect(SocketAddress address, int timeout) throws IOException {
			channel = SocketChannel.open(StandardProtocolFamily.UNIX);
			channel.connect(UnixDomainSocketAddress.of(path));
		}

		@Override
		public InputStream getInputStream() {
			return Channels.newInputStream(channel);
		}

		@Override
		public OutputStream getOutputStream() {
			return Channels.newOutputStream(channel);
		}

		@Override
		public boolean isConnected() {
			return channel != null;
		}

		@Override
		public boolean isClosed() {
			return channel != null && !channel.isOpen();
		}

		@Override
		public void close() throws IOException {
			if (channel != null)
				channel.close();
		}

		@Override
		public void setTcpNoDelay(boolean on) {}

		@Override
		public void setKeepAlive(boolean on) {}

		@Override
		public void setSoTimeout(int timeout) {}

		@Override
		public int getSoTimeout() {
			return 0;
		}

		@Override
		public int getSendBufferSize() {
			return 8192;
		}
	}

	/* What the driver calls a type, and what it makes of a value. */
	private record Kind(int type, Class<?> value) {}

	private static final Map<String, Kind> kinds = Map.of(
		"text", new Kind(Types.VARCHAR, String.class),
		"int4", new Kind(Types.INTEGER, Integer.class),
		"int8", new Kind(Types.BIGINT, Long.class),
		"float8", new Kind(Types.DOUBLE, Double.class),
		"numeric", new Kind(Types.NUMERIC, BigDecimal.class),
		"bool", new Kind(Types.BIT, Boolean.class),
		"date", new Kind(Types.DATE, java.sql.Date.class),
		"timestamptz", new Kind(Types.TIMESTAMP, Timestamp.class),
		"interval", new Kind(Types.OTHER, org.postgresql.util.PGInterval.class),
		"uuid", new Kind(Types.OTHER, UUID.class));

	private static final List<String> complaints = new ArrayList<>();

	private static void same(String what, Object found, Object wanted) {
		if (!Objects.equals(found, wanted))
			complaints.add(what + ": " + found + " instead of " + wanted);
	}

	private static void verdict(String text) {
		System.out.println((complaints.isEmpty() ? "" : "not ") + "ok - pgjdbc: " + text);
		complaints.stream().limit(10).forEach(c -> System.out.println("#   " + c.replace('\n', ' ')));
		complaints.clear();
	}

	private static List<String[]> table(String folder, String name) throws IOException {
		List<String[]> rows = new ArrayList<>();
		for (String line : Files.readAllLines(Path.of(folder, name), StandardCharsets.UTF_8))
			rows.add(line.split("\t", -1));
		return rows;
	}

	private static String quoted(String name) {
		return '"' + name.replace("\"", "\"\"") + '"';
	}

	public static void main(String[] args) throws Exception {
		List<String[]> views = table(args[0], "views");
		List<String[]> columns = table(args[0], "columns");
		List<String[]> filters = table(args[0], "filters");
		Properties p = new Properties();

		System.setOut(new java.io.PrintStream(System.out, true, StandardCharsets.UTF_8));
		p.setProperty("user", System.getenv("PGUSER"));
		p.setProperty("socketFactory", Factory.class.getName());
		p.setProperty("socketFactoryArg", System.getenv("PGHOST") + "/.s.PGSQL." + System.getenv("PGPORT"));
		/* prepared on the server, with binary results, from the first time on */
		p.setProperty("prepareThreshold", "-1");
		try (Connection c = DriverManager.getConnection("jdbc:postgresql://localhost/" + System.getenv("PGDATABASE"), p)) {
			describe(c, views, columns);
			read(c, views, columns);
			find(c, filters);
		}
	}

	private static void describe(Connection c, List<String[]> views, List<String[]> columns) throws SQLException {
		DatabaseMetaData meta = c.getMetaData();
		Set<String> found = new TreeSet<>();
		Set<String> wanted = new TreeSet<>();

		for (String[] v : views)
			wanted.add(String.join("\t", v[0], v[2]));
		try (ResultSet r = meta.getTables(null, "leadscore", "%", new String[] {"VIEW"})) {
			while (r.next())
				found.add(String.join("\t", r.getString("TABLE_NAME"), r.getString("REMARKS")));
		}
		same("views", found, wanted);
		for (String[] v : views) {
			List<String> is = new ArrayList<>();
			List<String> should = new ArrayList<>();
			try (ResultSet r = meta.getColumns(null, "leadscore", v[0].replace("_", meta.getSearchStringEscape() + "_"), "%")) {
				while (r.next())
					is.add(String.join("\t", r.getString("COLUMN_NAME"), r.getString("TYPE_NAME"), "" + r.getInt("DATA_TYPE"), r.getString("REMARKS")));
			}
			for (String[] column : columns)
				if (column[0].equals(v[0]))
					should.add(String.join("\t", column[1], column[2], kinds.containsKey(column[2]) ? "" + kinds.get(column[2]).type : "?", column[3]));
			same(v[0], is, should);
		}
		verdict(String.format("metadata of %d columns of %d views, with descriptions", columns.size(), views.size()));
	}

	private static void read(Connection c, List<String[]> views, List<String[]> columns) throws SQLException {
		for (String[] v : views) {
			List<String[]> mine = new ArrayList<>();
			long rows = 0;
			for (String[] column : columns)
				if (column[0].equals(v[0]))
					mine.add(column);
			try (PreparedStatement s = c.prepareStatement("SELECT * FROM leadscore." + quoted(v[0])); ResultSet r = s.executeQuery()) {
				for (int i = 0; i < mine.size(); i++) {
					same(v[0], r.getMetaData().getColumnName(i + 1), mine.get(i)[1]);
					same(v[0] + "." + mine.get(i)[1], r.getMetaData().getColumnTypeName(i + 1), mine.get(i)[2]);
				}
				while (r.next()) {
					rows++;
					for (int i = 0; i < mine.size(); i++) {
						Object value = r.getObject(i + 1);
						Kind kind = kinds.get(mine.get(i)[2]);
						if (value != null)
							same(v[0] + "." + mine.get(i)[1], value.getClass(), kind == null ? null : kind.value);
						/* what programs of today ask for */
						if ("timestamptz".equals(mine.get(i)[2]))
							r.getObject(i + 1, OffsetDateTime.class);
						else if ("date".equals(mine.get(i)[2]))
							r.getObject(i + 1, LocalDate.class);
						else
							r.getString(i + 1);
					}
				}
			} catch (SQLException e) {
				complaints.add(v[0] + ": " + e.getMessage());
			}
			same("rows of " + v[0], rows, Long.parseLong(v[1]));
		}
		verdict(String.format("reads %d columns of %d views", columns.size(), views.size()));
	}

	private static void find(Connection c, List<String[]> filters) throws SQLException {
		for (String[] f : filters) {
			try (PreparedStatement s = c.prepareStatement(String.format("SELECT count(*) FROM leadscore.%s WHERE %s = ?", quoted(f[0]), quoted(f[1])))) {
				s.setString(1, f[2]);
				try (ResultSet r = s.executeQuery()) {
					r.next();
					same(f[0] + " where " + f[1] + " = " + f[2], r.getLong(1), Long.parseLong(f[3]));
				}
			} catch (SQLException e) {
				complaints.add(f[0] + " where " + f[1] + " = " + f[2] + ": " + e.getMessage());
			}
		}
		verdict(String.format("prepared statements find what a text column is compared with (%d)", filters.size()));
	}
}
