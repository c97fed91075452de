// The common examples of @solana/kit on a localnet, with a transaction of version 0 and one of version 1.
// `.ci/solana_clients` runs it.
import {
  address,
  airdropFactory,
  appendTransactionMessageInstruction,
  assertIsTransactionWithBlockhashLifetime,
  compileTransactionMessage,
  createSolanaRpc,
  createSolanaRpcSubscriptions_UNSTABLE,
  createTransactionMessage,
  estimateAndSetResourceLimitsFactory,
  estimateResourceLimitsFactory,
  generateKeyPairSigner,
  getBase64Decoder,
  getCompiledTransactionMessageEncoder,
  getSignatureFromTransaction,
  lamports,
  pipe,
  sendAndConfirmTransactionFactory,
  setTransactionMessageConfig,
  setTransactionMessageFeePayerSigner,
  setTransactionMessageLifetimeUsingBlockhash,
  signTransactionMessageWithSigners,
} from "@solana/kit";
import { getTransferSolInstruction } from "@solana-program/system";
import { check, fund, MINT, notified, rpcUrl, TOKEN_PROGRAM, webSocketUrl } from "./support.mjs";

const rpc = createSolanaRpc(rpcUrl);
const rpcSubscriptions = createSolanaRpcSubscriptions_UNSTABLE(webSocketUrl);
const sendAndConfirm = sendAndConfirmTransactionFactory({ rpc, rpcSubscriptions });
const stop = new AbortController();
const [wallet, friend] = [await generateKeyPairSigner(), await generateKeyPairSigner()];
const mint = address(MINT);

/** Subscribes. `value` is what `read` returns for a notification, the first time that it returns something. */
async function watch(name, request, read) {
  const notifications = await request.subscribe({ abortSignal: stop.signal });
  const value = notified(name, async (done) => {
    for await (const notification of notifications) {
      const found = read(notification);
      if (found !== undefined) return done(found);
    }
  });
  return { value };
}

async function messageOf(version, amount, config) {
  const { value: latestBlockhash } = await rpc.getLatestBlockhash().send();
  const step = getTransferSolInstruction({ source: wallet, destination: friend.address, amount });
  return pipe(
    createTransactionMessage({ version }),
    (message) => setTransactionMessageFeePayerSigner(wallet, message),
    (message) => setTransactionMessageLifetimeUsingBlockhash(latestBlockhash, message),
    (message) => appendTransactionMessageInstruction(step, message),
    (message) => (config ? setTransactionMessageConfig(config, message) : message),
  );
}

async function land(message) {
  const transaction = await signTransactionMessageWithSigners(message);
  assertIsTransactionWithBlockhashLifetime(transaction);
  await sendAndConfirm(transaction, { commitment: "confirmed" });
  return getSignatureFromTransaction(transaction);
}

async function feeOf(message) {
  const bytes = getCompiledTransactionMessageEncoder().encode(compileTransactionMessage(message));
  return (await rpc.getFeeForMessage(getBase64Decoder().decode(bytes)).send()).value;
}

// An airdrop
const airdrop = airdropFactory({ rpc, rpcSubscriptions });
await airdrop({ commitment: "confirmed", lamports: lamports(10_000_000_000n), recipientAddress: wallet.address });
check((await rpc.getBalance(wallet.address).send()).value === 10_000_000_000n, "the airdrop did not arrive");

// Subscriptions, then a transfer that all of them notify of
const changes = await Promise.all([
  watch("account", rpcSubscriptions.accountNotifications(friend.address), ({ value }) => value.lamports),
  watch("logs", rpcSubscriptions.logsNotifications({ mentions: [friend.address] }), ({ value }) => value.signature),
  watch("slot", rpcSubscriptions.slotNotifications(), ({ slot }) => slot),
  watch("root", rpcSubscriptions.rootNotifications(), (root) => root),
  watch("slot update", rpcSubscriptions.slotsUpdatesNotifications(), ({ type }) => (type === "root" ? type : undefined)),
  watch("program", rpcSubscriptions.programNotifications(address(TOKEN_PROGRAM)), ({ value }) => value.pubkey),
]);
const signature = await land(await messageOf(0, 1_000_000_000n));
await fund(wallet.address, 5_000_000);
const [balance, logged] = await Promise.all(changes.map(({ value }) => value));
check(balance === 1_000_000_000n, "the account's notification has another balance");
check(logged === signature, "the logs are of another transaction");

// The transaction in its block
const options = { encoding: "jsonParsed", maxSupportedTransactionVersion: 0 };
const parsed = await rpc.getTransaction(signature, options).send();
check(parsed.transaction.message.instructions[0].parsed.info.lamports === 1_000_000_000n, "it is not parsed");
const block = await rpc.getBlock(parsed.slot, { transactionDetails: "signatures", commitment: "confirmed" }).send();
check(block.signatures.includes(signature), "it is not in its block");
const [latest] = await rpc.getSignaturesForAddress(friend.address).send();
check(latest.signature === signature, "the address does not list it");
const { value: [status] } = await rpc.getSignatureStatuses([signature]).send();
check(status.err === null, "it has no status");

// A transaction of version 1, whose priority fee is lamports in total
const config = { computeUnitLimit: 10_000, loadedAccountsDataSizeLimit: 100_000, priorityFeeLamports: 1_234n };
const message = await messageOf(1, 1_000_000n, config);
check((await feeOf(message)) === 6_234n, "it costs something else");
const priced = await land(message);
const shown = await rpc.getTransaction(priced, { maxSupportedTransactionVersion: 1, encoding: "json" }).send();
check(shown.version === 1 && shown.meta.fee === 6_234n, "it is shown as something else");
check(shown.transaction.message.transactionConfig.computeUnitLimit === 10_000, "its budget is not shown");

// What it may use is estimated by a simulation, exactly
const estimate = estimateAndSetResourceLimitsFactory(estimateResourceLimitsFactory({ rpc }));
await land(await estimate(await messageOf(1, 1_000_000n)));

// Tokens
const owned = await rpc.getTokenAccountsByOwner(wallet.address, { mint }, { encoding: "jsonParsed" }).send();
check(owned.value[0].account.data.parsed.info.tokenAmount.amount === "5000000", "the token account is not parsed");
check((await rpc.getTokenLargestAccounts(mint).send()).value.length > 0, "the mint has no holders");
check((await rpc.getTokenSupply(mint).send()).value.decimals === 6, "the mint has other decimals");

// The cluster
const certificate = await rpc.getAgGenesisCert().send();
check(certificate?.block.blockId.length === 32, "the chain has not migrated");
const answers = await Promise.all([
  rpc.getBlockCommitment(parsed.slot).send(),
  rpc.getBlockProduction().send(),
  rpc.getBlocks(0n, 5n).send(),
  rpc.getBlocksWithLimit(0n, 5).send(),
  rpc.getClusterNodes().send(),
  rpc.getEpochInfo().send(),
  rpc.getEpochSchedule().send(),
  rpc.getIdentity().send(),
  rpc.getInflationGovernor().send(),
  rpc.getInflationRate().send(),
  rpc.getInflationReward([wallet.address]).send(),
  rpc.getLargestAccounts().send(),
  rpc.getMaxRetransmitSlot().send(),
  rpc.getMultipleAccounts([wallet.address, friend.address]).send(),
  rpc.getRecentPerformanceSamples().send(),
  rpc.getRecentPrioritizationFees().send(),
  rpc.getSlotLeaders(0n, 5).send(),
  rpc.getSupply().send(),
  rpc.getTransactionCount().send(),
  rpc.getVersion().send(),
  rpc.getVoteAccounts().send(),
  rpc.minimumLedgerSlot().send(),
]);
stop.abort();
console.log(`kit: ${answers.length} answers and ${changes.length} subscriptions are as it expects them`);
process.exit(0);
