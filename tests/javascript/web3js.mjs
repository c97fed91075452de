// The common examples of @solana/web3.js version 1 on a localnet. `.ci/solana_clients` runs it.
import {
  AddressLookupTableProgram,
  ComputeBudgetProgram,
  Connection,
  Keypair,
  LAMPORTS_PER_SOL,
  PublicKey,
  sendAndConfirmTransaction,
  SystemProgram,
  SYSVAR_CLOCK_PUBKEY,
  Transaction,
  TransactionMessage,
  VersionedTransaction,
} from "@solana/web3.js";
import { check, fund, MINT, notified, rpcUrl, TOKEN_PROGRAM, webSocketUrl } from "./support.mjs";


const connection = new Connection(rpcUrl, { commitment: "confirmed", wsEndpoint: webSocketUrl });
const [wallet, friend] = [Keypair.generate(), Keypair.generate().publicKey];
const [mint, tokenProgram] = [new PublicKey(MINT), new PublicKey(TOKEN_PROGRAM)];
const transfer = (lamports) =>
  SystemProgram.transfer({ fromPubkey: wallet.publicKey, toPubkey: friend, lamports });

// An airdrop, and what it has changed
const airdrop = await connection.requestAirdrop(wallet.publicKey, 10 * LAMPORTS_PER_SOL);
await connection.confirmTransaction({ signature: airdrop, ...(await connection.getLatestBlockhash()) });
check((await connection.getBalance(wallet.publicKey)) === 10 * LAMPORTS_PER_SOL, "the airdrop did not arrive");
check((await connection.getParsedTransaction(airdrop)).meta.err === null, "the airdrop cannot be read");

// Subscriptions, then a transfer that all of them notify of
const changes = [
  notified("account", (done) => connection.onAccountChange(friend, (account) => done(account.lamports))),
  notified("logs", (done) => connection.onLogs(friend, (logs) => done(logs.signature))),
  notified("clock", (done) => connection.onAccountChange(SYSVAR_CLOCK_PUBKEY, (account) => done(account.data.length))),
  notified("slot", (done) => connection.onSlotChange((slot) => done(slot.slot))),
  notified("slot update", (done) => connection.onSlotUpdate((update) => update.type === "root" && done(update.slot))),
  notified("root", (done) => connection.onRootChange((root) => done(root))),
  notified("program", (done) => connection.onProgramAccountChange(tokenProgram, (info) => done(info.accountId))),
];
const transaction = new Transaction().add(transfer(LAMPORTS_PER_SOL));
const signature = await sendAndConfirmTransaction(connection, transaction, [wallet]);
await fund(wallet.publicKey.toBase58(), 5_000_000);
const [lamports, logged, clockBytes] = await Promise.all(changes);
check(lamports === LAMPORTS_PER_SOL, "the account's notification has another balance");
check(logged === signature, "the logs are of another transaction");
check(clockBytes === 40, "the clock is no account");

// The transaction in its block
const parsed = await connection.getParsedTransaction(signature, { maxSupportedTransactionVersion: 0 });
const [step] = parsed.transaction.message.instructions;
check(step.program === "system" && step.parsed.type === "transfer", "the transfer is not parsed");
check(step.parsed.info.lamports === LAMPORTS_PER_SOL, "the parsed transfer has another amount");
const block = await connection.getBlock(parsed.slot, { maxSupportedTransactionVersion: 1 });
check(block.transactions.some((each) => each.transaction.signatures[0] === signature), "it is not in its block");
check((await connection.getBlocks(parsed.slot, parsed.slot))[0] === parsed.slot, "its block has no slot");
check((await connection.getBlockTime(parsed.slot)) === parsed.blockTime, "its block has another time");
const [latest] = await connection.getSignaturesForAddress(friend);
check(latest.signature === signature, "the address does not list it");
check((await connection.getSignatureStatus(signature)).value.err === null, "it has no status");

// A versioned transaction: its fee, a simulation, and its landing
const latestBlockhash = await connection.getLatestBlockhash();
const message = new TransactionMessage({
  payerKey: wallet.publicKey,
  recentBlockhash: latestBlockhash.blockhash,
  instructions: [ComputeBudgetProgram.setComputeUnitPrice({ microLamports: 1_000_000 }), transfer(1_000_000)],
}).compileToV0Message();
const versioned = new VersionedTransaction(message);
versioned.sign([wallet]);
const fee = (await connection.getFeeForMessage(message)).value;
check((await connection.simulateTransaction(versioned)).value.err === null, "its simulation failed");
const before = await connection.getBalance(wallet.publicKey);
const landed = await connection.sendTransaction(versioned);
await connection.confirmTransaction({ signature: landed, ...latestBlockhash });
check((await connection.getBalance(wallet.publicKey)) === before - 1_000_000 - fee, "it paid another fee");

// A lookup table, and a transaction that reads an address from it
const authority = wallet.publicKey;
const recentSlot = await connection.getSlot("finalized");
const [create, table] = AddressLookupTableProgram.createLookupTable({ authority, payer: authority, recentSlot });
const addresses = [friend];
const extend = AddressLookupTableProgram.extendLookupTable({ authority, payer: authority, lookupTable: table, addresses });
await sendAndConfirmTransaction(connection, new Transaction().add(create, extend), [wallet]);
const { value: lookupTable } = await connection.getAddressLookupTable(table);
check(lookupTable.state.addresses[0].equals(friend), "the lookup table has another address");
const shownTable = (await connection.getParsedAccountInfo(table)).value.data.parsed;
check(shownTable.type === "lookupTable" && shownTable.info.addresses.length === 1, "the table is not parsed");
const blockhash = await connection.getLatestBlockhash();
const short = new VersionedTransaction(
  new TransactionMessage({
    payerKey: authority,
    recentBlockhash: blockhash.blockhash,
    instructions: [transfer(1_000_000)],
  }).compileToV0Message([lookupTable]),
);
short.sign([wallet]);
check(short.message.addressTableLookups.length === 1, "the table was not used");
await connection.confirmTransaction({ signature: await connection.sendTransaction(short), ...blockhash });

// Tokens
const owned = await connection.getParsedTokenAccountsByOwner(wallet.publicKey, { mint });
check(owned.value[0].account.data.parsed.info.tokenAmount.uiAmount === 5, "the token account is not parsed");
check((await connection.getTokenAccountBalance(owned.value[0].pubkey)).value.amount === "5000000", "it has no balance");
check((await connection.getTokenLargestAccounts(mint)).value.length > 0, "the mint has no holders");
check((await connection.getTokenSupply(mint)).value.decimals === 6, "the mint has other decimals");
const found = await connection.getProgramAccounts(tokenProgram, { filters: [{ dataSize: 165 }] });
check(found.length > 0, "the program has no accounts");

// The cluster
const answers = await Promise.all([
  connection.getVersion(),
  connection.getEpochInfo(),
  connection.getEpochSchedule(),
  connection.getGenesisHash(),
  connection.getClusterNodes(),
  connection.getVoteAccounts(),
  connection.getSupply(),
  connection.getLargestAccounts(),
  connection.getRecentPerformanceSamples(1),
  connection.getRecentPrioritizationFees(),
  connection.getInflationRate(),
  connection.getInflationGovernor(),
  connection.getSlotLeader(),
  connection.getBlockProduction(),
  connection.getStakeMinimumDelegation(),
  connection.getFirstAvailableBlock(),
  connection.getMinimumBalanceForRentExemption(165),
]);
console.log(`web3.js: ${answers.length} answers and ${changes.length} subscriptions are as it expects them`);
process.exit(0); // it keeps its socket open
