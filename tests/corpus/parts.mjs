// The parts of the corpus, in the order in which they are written.
import { amdPki } from "./amd.mjs";
import { amdCases } from "./cases_amd.mjs";
import { collateralCases } from "./cases_collateral.mjs";
import { logCases } from "./cases_logs.mjs";
import { quoteCases } from "./cases_quote.mjs";
import { intelPki } from "./intel.mjs";

export function intel() {
  const pki = intelPki();
  return [...quoteCases(pki), ...collateralCases(pki), ...logCases(pki)];
}

export const all = () => [...intel(), ...amdCases(amdPki())];
