// A provider of pi's that has chomp's models, for `chomp launch pi`. What it needs is in the environment: `apiKey` names
// the variable that has the token.
export default async function provide(pi) {
  const { CHOMP_URL, CHOMP_TOKEN, CHOMP_MODEL, CHOMP_EFFORT } = process.env;
  const baseUrl = `${CHOMP_URL}/v1`;
  const answer = await fetch(`${baseUrl}/models`, { headers: { authorization: `Bearer ${CHOMP_TOKEN}` } });
  const listed = answer.ok ? (await answer.json()).data : [];
  const rows = new Map([[CHOMP_MODEL, {}], ["auto", {}], ...listed.map((row) => [row.id, row])]); // an alias may not be listed
  const models = [...rows].map(([id, row]) => ({
    id,
    name: row.name ?? id,
    reasoning: !["", "off"].includes(CHOMP_EFFORT ?? ""), // else it would ask every model to think
    input: ["text", "image"],
    cost: { input: 0, output: 0, cacheRead: 0, cacheWrite: 0 }, // chomp knows prices
    contextWindow: row.context_length ?? 128000,
    maxTokens: Math.min(32000, Math.floor((row.context_length ?? 128000) / 4)),
    compat: { supportsStore: false, supportsDeveloperRole: false, maxTokensField: "max_tokens" }, // only OpenAI's have them
  }));
  pi.registerProvider("chomp", { name: "chomp", baseUrl, apiKey: "CHOMP_TOKEN", api: "openai-completions", models });
}
