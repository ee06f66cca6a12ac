// api/openapi.json as a judge of answers: validators of its schemas.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { ROOT } from "./stack.mjs";

export const description = JSON.parse(readFileSync(join(ROOT, "api", "openapi.json"), "utf8"));
export const ajv = new Ajv2020({ strict: false, allErrors: true });
addFormats(ajv);
ajv.addFormat("binary", true);
ajv.addSchema({ $id: "doc", components: description.components });

// What a value lacks to be of a named schema; null when it is.
export function complaints(name, value) {
  const validate = ajv.getSchema(`doc#/components/schemas/${name}`);
  return validate(value) ? null : ajv.errorsText(validate.errors);
}
