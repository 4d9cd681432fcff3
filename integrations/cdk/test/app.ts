// Prints the template of the tests' stack; what it is made with is JSON in the first argument.
import { Template } from "aws-cdk-lib/assertions";

import { chat } from "./chat";

const { stack } = chat(JSON.parse(process.argv[2]!));
console.log(JSON.stringify(Template.fromStack(stack).toJSON()));
