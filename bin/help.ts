import type { Command } from 'commander'

/** After a wrong word the whole help would drive the error off the screen: how it goes, and where the rest is, will do. */
export function shortenErrors(command: Command, above = ''): void {
  const path = `${above}${command.name()}`
  command.showHelpAfterError(`Usage: ${path} ${command.usage()}\n\`${path} --help\` says more.`)
  for (const one of command.commands) shortenErrors(one, `${path} `)
}

/** `help users create`: commander's own goes one word deep, and says nothing of a word that it does not know. */
export function addHelpCommand(program: Command): void {
  program
    .helpCommand(false)
    .command('help')
    .argument('[command...]')
    .description('display help for command')
    .action((names: string[]) => {
      let command = program
      for (const name of names) {
        const next = command.commands.find((one) => one.name() === name)
        command = next ?? command.error(`error: unknown command '${name}'`)
      }
      command.help()
    })
}
