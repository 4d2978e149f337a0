// (f) The template matrix outside the database: json-rules-engine, the most
// used rules engine for JavaScript, fed by node-postgres.
//
//   node json_rules_engine.js LEADS
//
// The rules come from bench.rule, the leads stream through a cursor, and the
// score of a lead is the sum of the points of the events that fired.  Prints:
// leads, seconds, seconds of streaming the same rows and doing nothing, sum of
// the scores.  The server is the one of the PG* variables.

const { Client } = require('pg');
const QueryStream = require('pg-query-stream');
const { Engine } = require('json-rules-engine');

const columns = ['company_size', 'knowledge_level', 'purchase_motivation',
	'decision_power', 'position', 'webinar'];

async function stream(client, leads, work) {
	const query = new QueryStream(
		`SELECT ${columns.join(', ')} FROM bench.lead WHERE id <= $1`, [leads],
		{ batchSize: 1000 });
	const start = process.hrtime.bigint();
	for await (const lead of client.query(query)) {
		await work(lead);
	}
	return Number(process.hrtime.bigint() - start) / 1e9;
}

async function main() {
	const leads = Number(process.argv[2]);
	const client = new Client({ host: process.env.PGHOST });
	await client.connect();

	const engine = new Engine();
	const rules = await client.query(
		"SELECT field, value, points FROM bench.rule WHERE set = 'equality' AND no <= 21 ORDER BY no");
	for (const rule of rules.rows) {
		engine.addRule({
			conditions: { all: [{ fact: rule.field, operator: 'equal', value: rule.value }] },
			event: { type: 'points', params: { points: rule.points } },
		});
	}

	let total = 0;
	const score = async (lead) => {
		const { events } = await engine.run(lead);
		for (const event of events) {
			total += event.params.points;
		}
	};
	await stream(client, Math.min(leads, 500), score);	// let the compiler warm up
	const idle = await stream(client, leads, () => {});
	total = 0;
	const busy = await stream(client, leads, score);
	console.log(`${leads} ${busy} ${idle} ${total}`);
	await client.end();
}

main().catch((error) => {
	console.error(error.message);
	process.exit(1);
});
